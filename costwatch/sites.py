"""Costwatch's admin: behind our own login page, with a content policy of its own."""

from csp.constants import NONE, SELF
from csp.decorators import csp_replace
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.urls import reverse
from unfold.sites import UnfoldAdminSite

#: The admin and its theme load scripts, styles and fonts as files, and draw some icons as data URLs; nothing inline,
#: and no text becomes code (see static/vendor/VENDOR.md).
ADMIN_POLICY = {
    "default-src": [NONE],
    "script-src": [SELF],
    "style-src": [SELF],
    "img-src": settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]["img-src"],
    "font-src": [SELF],
    "connect-src": [SELF],
    "form-action": [SELF],
    "base-uri": [NONE],
    "frame-ancestors": [NONE],
}


class CostwatchAdminSite(UnfoldAdminSite):
    site_header = site_title = settings.BRAND_NAME
    index_title = "Administration"

    def admin_view(self, view, cacheable=False):
        return csp_replace(ADMIN_POLICY)(super().admin_view(view, cacheable))

    def login(self, request, extra_context=None):
        """One login page for all; an account that may not see the admin is told so instead of asked again."""
        if request.user.is_authenticated:
            raise PermissionDenied
        target = request.GET.get("next") or reverse("admin:index")
        return redirect_to_login(target)
