"""The addresses of pages, actions and files."""

from django.urls import path

from chat.web import actions, estimate, excerpt, health, library, made, pages, remote_image, summary, uploads

urlpatterns = [
    path("", pages.home, name="home"),
    path("c/<uuid:pk>/", pages.conversation, name="conversation"),
    path("c/<uuid:pk>/turns/", pages.turns, name="turns"),
    path("conversations/", pages.conversations, name="conversations"),
    path("ask/", actions.ask, name="ask"),
    path("c/<uuid:pk>/ask/", actions.ask, name="ask_in"),
    path("ask/with-file/", uploads.ask_with_file, name="ask_with_file"),
    path("c/<uuid:pk>/ask/with-file/", uploads.ask_with_file, name="ask_in_with_file"),
    path("c/<uuid:pk>/stop/", actions.stop, name="stop"),
    path("c/<uuid:pk>/rename/", actions.rename, name="rename"),
    path("c/<uuid:pk>/item/", actions.item, name="item"),
    path("c/<uuid:pk>/settings/", actions.choose, name="choose"),
    path("c/<uuid:pk>/delete/", actions.delete, name="delete"),
    path("c/<uuid:pk>/restore/", actions.restore, name="restore"),
    path("turns/<int:pk>/retry/", actions.retry, name="retry"),
    path("turns/<int:pk>/continue/<int:after>/", actions.go_on, name="go_on"),
    path("files/", library.files, name="files"),
    path("files/choose/", library.choices, name="file_choices"),
    path("files/chips/", library.chips, name="file_chips"),
    path("files/<uuid:pk>/", uploads.file, name="file"),
    path("files/<uuid:pk>/slice/", uploads.file_slice, name="file_slice"),
    path("files/<uuid:pk>/thumbnail/", uploads.file_thumbnail, name="file_thumbnail"),
    path("files/<uuid:pk>/table/", made.table, name="file_table"),
    path("turns/<int:pk>/made/", made.made, name="made"),
    path("files/<uuid:pk>/preview/", library.preview, name="file_preview"),
    path("files/<uuid:pk>/pages/<int:number>.webp", library.page_picture, name="file_page"),
    path("files/<uuid:pk>/delete/", library.delete, name="file_delete"),
    path("turns/<int:pk>/cited/<int:number>/", library.cited, name="cited"),
    path("files/<uuid:pk>/excerpt/", excerpt.excerpt, name="file_excerpt"),
    path("files/estimate/", estimate.estimate, name="estimate"),
    path("files/summary/", summary.summary, name="summary"),
    path("remote-image/", remote_image.remote_image, name="remote_image"),
    path("healthz", health.health, name="health"),
]
