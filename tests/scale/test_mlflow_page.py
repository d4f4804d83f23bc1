"""MLflow's own page, opened on the records of two runs.

It is no part of the suite: the page is in the package mlflow, which asks for older packages than the course has. So
install it in an environment of its own, and name its command:

    python -m venv .mlflow && .mlflow/bin/pip install mlflow==3.17.2
    NBHELPERS_MLFLOW=.mlflow/bin/mlflow pytest tests/scale/test_mlflow_page.py
"""

import json
import os
import socket
import subprocess
import time
import urllib.request

import pytest

from nbhelpers import tracking


@pytest.fixture
def address(tmp_path):
    """The page of two runs, "default" and "winner"."""
    for name, lr in (("default", 1e-3), ("winner", 3e-3)):
        with tracking.Tracker(name, "mlflow", folder=tmp_path, config={"lr": lr, "seed": 1}) as record:
            record({"step": 1, "dev_score": 100 * lr})
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    store = f"sqlite:///{tmp_path}/mlflow.db"
    command = [os.environ["NBHELPERS_MLFLOW"], "ui", "--backend-store-uri", store, "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as server:
        address = f"http://127.0.0.1:{port}"
        for _ in range(120):
            try:
                urllib.request.urlopen(address, timeout=5)
                break
            except OSError:
                time.sleep(1)
        yield address
        server.terminate()


def test_the_page_shows_both_runs(address, browser, screenshots):
    body = json.dumps({"max_results": 10}).encode()
    request = urllib.request.Request(
        f"{address}/api/2.0/mlflow/experiments/search", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        ids = {found["name"]: found["experiment_id"] for found in json.load(answer)["experiments"]}
    page = browser.new_page()
    page.goto(f"{address}/#/experiments/{ids['nbhelpers']}/runs")
    for name in ("winner", "default"):
        page.get_by_text(name, exact=True).first.wait_for(timeout=60_000)
    page.screenshot(path=screenshots / "mlflow.png")
