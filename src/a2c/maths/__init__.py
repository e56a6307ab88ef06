"""Mathematics: pure functions of tensors, which know nothing of ours."""
