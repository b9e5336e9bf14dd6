"""Rows and their vocabulary. What a person sent stands here before anything goes upstream."""

from chat.models.conversations import Conversation, Response, Status, Turn
from chat.models.files import Attachment, Forgetting, ProviderFile
from chat.models.people import User
from chat.models.providers import Deployment, Provider
from chat.models.review import ReviewEvent

__all__ = [
    "Attachment",
    "Conversation",
    "Deployment",
    "Forgetting",
    "Provider",
    "ProviderFile",
    "Response",
    "ReviewEvent",
    "Status",
    "Turn",
    "User",
]
