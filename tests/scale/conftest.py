"""A cluster of two machines on this one, and a classifier that is made in a second.

What needs Ray is imported in the fixtures, because the test of MLflow's page runs without it.
"""

from pathlib import Path

import pytest

MACHINE = {"num_cpus": 2, "memory": 2 * 2**30, "object_store_memory": 100 * 2**20}


@pytest.fixture(scope="session")
def cluster():
    """Two raylets, each with two cores and the objects of a machine of its own."""
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("ATEN_CPU_CAPABILITY", "avx2")  # no bf16, so that results can be compared closely
        patch.syspath_prepend(Path(__file__).parents[2])  # Ray's workers get the path of this process
        two = Cluster(initialize_head=True, head_node_args={**MACHINE, "include_dashboard": False})
        two.add_node(**MACHINE)
        ray.init(address=two.address)
        yield two
        ray.shutdown()
        two.shutdown()


@pytest.fixture
def another_machine(cluster):
    """A function that adds a third machine; call it before one of the others is to die."""
    return lambda: cluster.add_node(**MACHINE)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The embedded encoder's first two layers with a fresh head, as `save_pretrained` writes them."""
    import torch

    from nbhelpers import encoders

    torch.manual_seed(0)
    tokenizer, classifier = encoders.load("embedded", ("neutral", "surprise", "fear", "sadness", "joy"))
    classifier.base_model.encoder.layer = classifier.base_model.encoder.layer[:2]
    classifier.config.num_hidden_layers = 2
    path = tmp_path_factory.mktemp("models") / "small"
    classifier.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
