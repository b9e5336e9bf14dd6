"""The rooms of the reviewer and the operator. What was said is read here, and each look leaves a trace.

conversations   the list, and the doors to transcripts and files
transcript      one conversation as its owner saw it, and the versions beside that
search, filters, figures
trace           who looked at what
reviewers       the group that may look
providers       endpoints; deployments are the models they serve, on the same page
capabilities    what they can do, in words
connection      one short question, to see whether it works
people          who may sign in
forgetting      copies at providers, and what is still to be deleted there
"""

from django.contrib import admin

from chat.admin import conversations, forgetting, people, providers, reviewers, trace

__all__ = ["conversations", "forgetting", "people", "providers", "reviewers", "trace"]

admin.site.site_header = "Review and settings"
admin.site.site_title = "Review and settings"
admin.site.index_title = "Review and settings"
admin.site.site_url = "/"
# So few lists need no second menu, and transcripts need the width.
admin.site.enable_nav_sidebar = False
