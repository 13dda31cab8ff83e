"""Requests made up from the API's own description: whatever comes, no answer is an internal error."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from running_server import PATIENCE_S, give_box, send_clip, wait_for

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")


@pytest.mark.slow
def test_no_request_breaks_the_server(app: Any, clip: Any) -> None:
    job = send_clip(app, clip)
    wait_for(app, job, "prepare")
    give_box(app, job, 1, 0, (60, 40, 20, 20))
    schema = schemathesis.openapi.from_url(f"{app.base_url}/api/openapi.json")
    modes = schemathesis.GenerationMode
    answers: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        seen: set[int] = answers.setdefault(operation.label, set())
        for mode in (modes.POSITIVE, modes.NEGATIVE):

            @settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(generation_mode=mode))
            def request(case: Any) -> None:
                # Half of the requests speak of the job that is there, or all would end at the door.
                if len(str(case.path_parameters.get("job", "."))) % 2 == 0 and case.method != "DELETE":
                    case.path_parameters["job"] = job
                answer = case.call(timeout=PATIENCE_S)
                assert answer.status_code < 500 or answer.status_code in (503, 507), (
                    case.as_curl_command(),
                    answer.text,
                )
                seen.add(answer.status_code)  # noqa: B023  (called within its turn of the loop)

            # Where an operation takes nothing, nothing about it can be wrong.
            with contextlib.suppress(Unsatisfiable) if mode is modes.NEGATIVE else contextlib.nullcontext():
                request()
    assert len(answers) >= 18
    assert {code for seen in answers.values() for code in seen} >= {200, 404, 422}
