"""Reading the files that say what runs: old start-up configurations, Compose files, Dockerfiles."""
