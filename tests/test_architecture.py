"""Imports point inward: the layers of the house, and what the domain may know of the world."""

import sys
from pathlib import Path

import grimp
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[1]
PACKAGES = ("domain", "commands", "projections", "api", "workers")
DOMAIN_MAY_KNOW = {"domain", "pydantic"} | sys.stdlib_module_names


def test_folders_import_inward_only():
    pyproject = str(ROOT / "pyproject.toml")
    assert lint_imports(config_filename=pyproject, no_cache=True) == EXIT_STATUS_SUCCESS


def test_the_domain_reaches_only_the_standard_library_and_pydantic():
    graph = grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)
    ours = {"domain", *graph.find_descendants("domain")}
    reached = {
        (module, imported)
        for module in ours
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.partition(".")[0] not in DOMAIN_MAY_KNOW
    }
    assert not reached


def test_nothing_but_the_five_packages_is_shipped():
    graph = grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)
    assert not any(module.partition(".")[0] == "tests" for module in graph.modules)
