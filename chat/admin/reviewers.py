"""The group "Reviewers", made once. Whoever is in it and is staff may read conversations, and change nothing."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed_apps
from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db.models.signals import post_migrate
from django.dispatch import receiver

GROUP = "Reviewers"
MAY_VIEW = ("conversation", "turn", "response", "attachment", "reviewevent")


@receiver(post_migrate, dispatch_uid="chat.admin.reviewers")
def make_group(
    sender: AppConfig, using: str = "default", verbosity: int = 1, apps: Apps = installed_apps, **kwargs: Any
) -> None:
    """Make the group where it is missing.

    After migrating and not within a migration, because Django creates permissions after migrating. One that
    exists stays as the operator left it.
    """
    if sender.label != "chat":
        return
    try:
        group_model = apps.get_model("auth", "Group")
        permission_model = apps.get_model("auth", "Permission")
        apps.get_model("chat", "ReviewEvent")
    except LookupError:
        return  # Migrated backwards, to before these tables.
    if group_model._default_manager.using(using).filter(name=GROUP).exists():
        return
    # Django's own receiver may come after this one; what it does can be done twice.
    create_permissions(sender, verbosity=0, using=using, apps=apps)
    codenames = [f"view_{name}" for name in MAY_VIEW]
    permissions = permission_model._default_manager.using(using).filter(
        content_type__app_label="chat", codename__in=codenames
    )
    group = group_model._default_manager.using(using).create(name=GROUP)
    group.permissions.set(permissions)
