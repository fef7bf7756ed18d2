"""The commands of `rekrylov`, a module a group; `pipeline.cli` puts them together."""
