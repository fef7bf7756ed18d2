"""The catalogue in a browser: `storage.web.app.serve`; needs the extra `web`."""
