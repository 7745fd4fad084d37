"""A GPU that is not there, whose kernels are not compared with their twins."""

from synthsae import gpu, guard


def trust_kernels(monkeypatch):
    """Every kernel has passed its check, and none may be replaced."""

    def replaced(kernel, reason):
        raise AssertionError(f"{kernel} was replaced: {reason}")

    monkeypatch.setattr(gpu, "_usable", {})
    monkeypatch.setattr(gpu, "find_spec", lambda name: name == "triton")
    monkeypatch.setattr(guard, "verdict", lambda kernel, device, again: "")
    monkeypatch.setattr(gpu, "_say_replaced", replaced)
