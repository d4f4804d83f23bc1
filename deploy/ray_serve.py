"""The service on Ray Serve, where one machine is not enough: replicas of one model behind one address.

    pip install -e ".[deploy,scale]"
    NBHELPERS_MODEL=runs/my_model_onnx serve run deploy.ray_serve:app

The page, /classify and all else are those of `nbhelpers serve`, and each replica batches what it is given. Ray places
replicas on all machines of a cluster; the folder must have the same path on each, or be on a shared disk. How many
there are is set here. Each answer names its replica in the header X-Replica.

Ray replaces a replica whose process dies, and answers with status 500 what that one was computing. With nginx in front
(nginx.conf in this folder), these requests are asked again of another replica, so that no client notices.

/metrics counts for the one replica that answers; Ray's own metrics count for all. A key in NBHELPERS_API_KEY must be in
the environment in which Ray is started, on each machine.
"""

import os
import sys
from pathlib import Path
from typing import Any

from ray import serve

REPLICAS, THREADS = 2, 1  # a thread needs a core
if "NBHELPERS_MODEL" not in os.environ:
    sys.exit("NBHELPERS_MODEL is not set; set it to the folder of a model, as `nbhelpers export` writes it")
FOLDER = Path(os.environ["NBHELPERS_MODEL"]).resolve()


def build() -> Any:
    """The application of a replica, made in its process."""
    from nbhelpers import serving
    from nbhelpers.classifier import served

    replica = serve.get_replica_context().replica_id.unique_id.encode()
    service = serving.load_app(lambda: served.load(FOLDER, THREADS), serving.DEFAULTS)

    async def named(scope: Any, receive: Any, send: Any) -> None:
        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-replica", replica)]}
            await send(message)

        await service(scope, receive, answer)

    return named


# a replica inherits the environment of the Ray on its machine, not of this file
environment = {"env_vars": {"NBHELPERS_MODEL": str(FOLDER)}}
app = serve.deployment(
    serve.ingress(build)(),
    name="nbhelpers",
    num_replicas=REPLICAS,
    max_ongoing_requests=64,  # more wait in front, where the next free replica takes them
    ray_actor_options={"num_cpus": THREADS, "runtime_env": environment},
).bind()
