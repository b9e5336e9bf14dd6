"""Static files with a hash in their name, ES modules' imports included."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class HashedStaticFiles(CompressedManifestStaticFilesStorage):
    # Without this, `import "./scroll.js"` in a module would still name the unhashed file.
    support_js_module_import_aggregation = True
