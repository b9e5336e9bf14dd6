"""Where answers come from: an endpoint with its dialect and credentials, and the models it serves."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from chat.models.people import User
from chat.models.prepared import Prepared, field
from chat.models.prices import Prices
from chat.responses.dialects import DIALECTS

# Of ids at a provider. OpenAI's have 60 characters; LiteLLM packs a route into its own, which had 445.
ID_LENGTH = 1024

variable_name = RegexValidator(
    r"^[A-Za-z_][A-Za-z0-9_]*\Z",
    "Give the name of an environment variable, such as AZURE_OPENAI_API_KEY; never the key itself.",
)


def dialect_choices() -> list[tuple[str, str]]:
    return [(name, dialect.label) for name, dialect in DIALECTS.items()]


class Provider(models.Model):
    """An endpoint. It names the environment variable that holds its key and never holds the key."""

    class Auth(models.TextChoices):
        KEY = "key", "API key from an environment variable"
        ENTRA = "entra", "Microsoft Entra ID (tokens, no key)"
        NONE = "none", "No credentials"

    class FilePolicy(models.TextChoices):
        AUTO = "auto", "Automatic: small files inline, large ones uploaded once"
        INLINE = "inline", "Always inline (base64)"
        FILE_ID = "file_id", "Always uploaded, sent by file id"

    class Source(models.TextChoices):
        ENVIRONMENT = "environment", "Environment variables"
        ADMIN = "admin", "This admin"
        EMBEDDED = "embedded", "Embedded engine"

    name = models.CharField(max_length=100, unique=True)
    dialect = models.CharField(max_length=32, choices=dialect_choices)
    base_url = models.CharField(
        "base URL", max_length=500, blank=True, help_text="Such as https://NAME.openai.azure.com/openai/v1/"
    )
    auth = models.CharField(max_length=8, choices=Auth, default=Auth.KEY)
    key_variable = models.CharField(
        max_length=100,
        blank=True,
        validators=[variable_name],
        help_text="Name of the environment variable that holds the key. The key itself is never stored.",
    )
    token_scope = models.CharField(
        max_length=200,
        blank=True,
        help_text="Only for Entra ID: what the tokens are for. Empty: what the dialect names.",
    )
    extra_headers = models.JSONField(default=dict, blank=True, help_text="Sent with each request. No secrets here.")
    capabilities = models.JSONField(
        "capability overrides", default=dict, blank=True, help_text='Such as {"state": false}'
    )
    file_policy = models.CharField(max_length=8, choices=FilePolicy, default=FilePolicy.AUTO)
    enabled = models.BooleanField(default=True)
    source = models.CharField(max_length=16, choices=Source, default=Source.ADMIN, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


def _price(help_text: str) -> models.DecimalField[Decimal | None, Decimal | None]:
    """Of tokens, and none unless it is known."""
    return models.DecimalField(
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=help_text,
    )


class DeploymentQuerySet(models.QuerySet["Deployment"]):
    def offered(self) -> DeploymentQuerySet:
        """Those that can be chosen now, the default first."""
        return (
            self.filter(enabled=True, provider__enabled=True)
            .select_related("provider")
            .order_by("-is_default", "provider__name", "name")
        )

    def offered_to(self, user: User) -> DeploymentQuerySet:
        """Those that this person may choose: open to all, or to one of their groups."""
        return self.offered().filter(Q(groups=None) | Q(groups__in=user.groups.all())).distinct()


class Deployment(models.Model):
    """A model name that a provider serves. On Azure this is the deployment's name."""

    class Effort(models.TextChoices):
        UNSET = "", "Not sent: the model's own default"
        NONE = "none", "None"
        MINIMAL = "minimal", "Minimal"
        LOW = "low", "Low"
        MEDIUM = "medium", "Medium"
        HIGH = "high", "High"
        XHIGH = "xhigh", "Extra high"

    class Summary(models.TextChoices):
        UNSET = "", "None"
        AUTO = "auto", "As the model likes"
        CONCISE = "concise", "Concise"
        DETAILED = "detailed", "Detailed"

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="deployments")
    name = models.CharField(max_length=200, help_text="Sent as `model`. On Azure: the name of the deployment.")
    label = models.CharField(max_length=200, blank=True, help_text="Shown to people instead of the name.")
    context_window = models.PositiveIntegerField(null=True, blank=True, help_text="Tokens")
    input_price = _price("Of a million tokens that the model reads.")
    cached_input_price = _price("Of those that it read before and the provider kept at hand. Empty: as other input.")
    output_price = _price("Of a million tokens that it writes, reasoning included.")
    parameters = models.JSONField(
        default=dict,
        blank=True,
        help_text='Added to each request, such as {"reasoning": {"effort": "low"}, "max_output_tokens": 4000}',
    )
    reasoning_effort = models.CharField(
        max_length=16, choices=Effort, blank=True, default="", help_text="Only for models that reason."
    )
    reasoning_summary = models.CharField(
        max_length=16,
        choices=Summary,
        blank=True,
        default="",
        help_text="What people see of the reasoning, folded above the answer. Only for models that reason.",
    )
    keeps_responses = models.BooleanField(
        "kept at the provider",
        default=True,
        help_text="Off: nothing is stored there (store: false). The whole history goes with each question, "
        "and reasoning travels encrypted where the provider can do that.",
    )
    background = models.BooleanField(
        "works in the background",
        default=False,
        help_text="For models that think for long. The provider goes on when a connection breaks or this server is "
        "restarted, and the answer is taken up where it was. The first words may come later. "
        "Needs a provider that can do it, and that keeps the answers.",
    )
    image_deployment = models.CharField(
        max_length=200,
        blank=True,
        help_text="Azure: the deployment that makes images for the tool image_generation, such as gpt-image-1.",
    )
    code_interpreter = models.BooleanField(
        "runs code",
        default=False,
        help_text="The model may run Python at the provider, for calculations, charts and files. Costs extra there.",
    )
    image_generation = models.BooleanField(
        "makes images", default=False, help_text="The model may make images. Costs extra at the provider."
    )
    enabled = models.BooleanField(default=True)
    is_default = models.BooleanField("default", default=False)
    groups = models.ManyToManyField(
        "auth.Group", blank=True, help_text="Who may choose it. Empty: everybody.", related_name="+"
    )

    objects = DeploymentQuerySet.as_manager()

    class Meta:
        ordering = ["provider__name", "name"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "name"], name="one_row_per_deployment"),
            models.UniqueConstraint(fields=["is_default"], condition=Q(is_default=True), name="one_default_deployment"),
            models.CheckConstraint(
                condition=Q(input_price=None, cached_input_price=None, output_price=None)
                | Q(input_price__isnull=False, output_price__isnull=False),
                name="prices_are_known_together",
                violation_error_message="Give the prices of both input and output, or no price at all.",
            ),
            models.CheckConstraint(
                condition=Q(input_price__gte=0, cached_input_price__gte=0, output_price__gte=0),
                name="no_price_is_below_zero",
            ),
        ]

    def __str__(self) -> str:
        return self.label or self.name

    @property
    def prices(self) -> Prices | None:
        """None where they are not known: then nothing is said of cost."""
        if self.input_price is None or self.output_price is None:
            return None
        cached = self.input_price if self.cached_input_price is None else self.cached_input_price
        return Prices(self.input_price, cached, self.output_price)

    def as_parameters(self) -> dict[str, Any]:
        """The operator's extra request parameters, a copy."""
        return dict(self.parameters or {})


_offers = Prepared(lambda person: Deployment.objects.offered_to(User(pk=person)), field(User, "id"))


def offers_to(user: User) -> list[Deployment]:
    """All of `offered_to`, for less than a tenth of what it costs: each question and each page asks for them."""
    return _offers(user.pk)
