"""What Pulp's settings need behind infra/nginx/pulp.conf: append it to /etc/pulp/settings.py.

Replace packages.example.com. A person who reaches Pulp's own port can name any user in the header,
so Pulp listens on 127.0.0.1, and every location of nginx sets or removes it; docs/guards.md
explains the rest.
"""

# Links on pages lead to the host of nginx.
CONTENT_ORIGIN = "https://packages.example.com"
PYPI_API_HOSTNAME = "https://packages.example.com"

# nginx says who publishes. Operators have a password, as before.
REMOTE_USER_ENVIRON_NAME = "HTTP_REMOTE_USER"
REST_FRAMEWORK__DEFAULT_AUTHENTICATION_CLASSES = (
    "pulpcore.app.authentication.PulpRemoteUserAuthentication",
    "pulpcore.app.authentication.BasicAuthentication",
)
# Pulp makes no user of a name that it does not know.
AUTHENTICATION_BACKENDS = (
    "pulpcore.app.authentication.PulpNoCreateRemoteUserBackend",
    "django.contrib.auth.backends.ModelBackend",
    "pulpcore.backends.ObjectRolePermissionBackend",
)
