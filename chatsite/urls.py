"""Every address of the product."""

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.urls import include, path

from chat.web.accounts import forgets

# One sign-in page for all, with its limits on guessing; Django's own for the admin has none.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
admin.site.logout = forgets(admin.site.logout)  # type: ignore[assignment, method-assign]

# Nobody is asked for an e-mail address here, so there is no list of them to keep.
admin.site.unregister(EmailAddress)

handler400 = "chat.web.actions.bad_request"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("chat.web.accounts")),
    path("", include("chat.web.urls")),
]
