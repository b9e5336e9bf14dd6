"""Let somebody in without a password: print a link that signs them in once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from chat.management.signin import link_for, plain_address
from chat.models import User


class Command(BaseCommand):
    help = "Print a link that signs a person in once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the person's user name")
        parser.add_argument("--create", action="store_true", help="make the person if there is none of that name")
        parser.add_argument("--admin", action="store_true", help="make the person an administrator")

    def handle(self, *, name: str, create: bool, admin: bool, **options: Any) -> None:
        user = self.person(name, create=create)
        if not user.is_active:
            raise CommandError(f"{name} is deactivated. Activate the account in the admin first.")
        if admin and not (user.is_staff and user.is_superuser):
            user.is_staff = user.is_superuser = True
            user.save(update_fields=["is_staff", "is_superuser"])
        self.stdout.write(link_for(user, settings.PUBLIC_URL or plain_address(settings.HOST, settings.PORT)))

    def person(self, name: str, *, create: bool) -> User:
        found = User.objects.filter(username=name).first()
        if found is not None:
            return found
        if not create:
            raise CommandError(f"There is nobody named {name}. Add --create to make the account.")
        user = User(username=User.normalize_username(name))
        user.set_unusable_password()
        try:
            user.full_clean()
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        user.save()
        return user
