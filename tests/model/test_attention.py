"""The two ways in which attention is computed."""

from __future__ import annotations

import torch

from ostrack.model.block import Attention


def test_training_in_bf16_on_a_cpu_attends_as_the_fused_kernel_does() -> None:
    torch.manual_seed(0)
    attention = Attention(48, 3).bfloat16()
    tokens = torch.randn(2, 37, 48, dtype=torch.bfloat16)
    with torch.no_grad():
        fused, _, _ = attention(tokens)
    plain, _, _ = attention(tokens.requires_grad_())
    # bf16 keeps 8 bits: a few units in the last place of values around 1.
    torch.testing.assert_close(plain, fused, atol=0.02, rtol=0.02)
    plain.float().sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.abs().sum() > 0
