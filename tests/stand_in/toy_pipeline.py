"""A Kubeflow pipeline of two steps for the promises of pipeline runs."""

from kfp import dsl


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def first(log: str, hang: bool) -> None:
    """Leave a line in the log; hang when told to."""
    import time
    from pathlib import Path

    from pipelines.progress import step

    with step("first"), Path(log).open("a") as file:
        file.write("first\n")
        file.flush()
        while hang:
            time.sleep(0.05)


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def second(output_dir: str, fail: bool, run_key: str) -> None:
    """Leave the run's outputs, or fail."""
    import json
    from pathlib import Path

    from pipelines.progress import step
    from tools.errors import Invalid

    with step("second"):
        if fail:
            raise Invalid("expected better data", field="carrier")
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        Path(output_dir, "outputs.json").write_text(json.dumps({"made_by": run_key}))


@dsl.pipeline(name="toy")
def toy(log: str, output_dir: str, run_key: str, hang: bool = False, fail: bool = False) -> None:
    """First, then second."""
    begun = first(log=log, hang=hang)
    second(output_dir=output_dir, fail=fail, run_key=run_key).after(begun)
