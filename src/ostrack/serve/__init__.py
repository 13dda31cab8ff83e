"""The web app: a video in the browser, boxes drawn on it, tracks and files back.

``ostrack serve`` starts it. The server itself only stores, queues and hands out; whatever touches a user's file
(decoding, tracking, drawing) runs in a process of its own with limits, so that no file can take the server down.
Nothing imports this room but the command line.
"""
