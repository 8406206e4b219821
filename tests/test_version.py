"""The version is the same in every place."""

import importlib.metadata

import ticketjax
from ticketjax.records.manifest import versions
from ticketjax.version import VERSION


def test_package_records_and_metadata_have_the_same_version():
    assert ticketjax.__version__ == VERSION == versions()["ticketjax"]
    assert importlib.metadata.version("ticketjax") == VERSION
