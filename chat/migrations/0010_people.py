"""People are found by their key for less. No migration makes people, so none needs to know how."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("chat", "0009_citations")]

    operations = [migrations.AlterModelManagers(name="user", managers=[])]
