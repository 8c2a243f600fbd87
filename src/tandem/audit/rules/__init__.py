"""The rules. Each module has one idea; :mod:`tandem.audit.rules.catalogue` lists them all."""
