"""The addresses of the API of alerts, under /api/v1/."""

from django.urls import path

from alerts.api import channels, views

urlpatterns = [
    path("alerts", views.AlertList.as_view(), name="api-alerts"),
    path("alerts/unread", views.UnreadCount.as_view(), name="api-alerts-unread"),
    path("alerts/read-all", views.AlertReadAll.as_view(), name="api-alerts-read-all"),
    path("alerts/mutes", views.MuteList.as_view(), name="api-alert-mutes"),
    path("alerts/mutes/<int:mute_id>", views.MuteDetail.as_view(), name="api-alert-mute"),
    path("alerts/preferences", views.Preferences.as_view(), name="api-alert-preferences"),
    path("alerts/<int:alert_id>", views.AlertDetail.as_view(), name="api-alert"),
    path("alerts/<int:alert_id>/read", views.AlertRead.as_view(read=True), name="api-alert-read"),
    path("alerts/<int:alert_id>/unread", views.AlertRead.as_view(read=False), name="api-alert-unread"),
    path("channels", channels.ChannelList.as_view(), name="api-channels"),
    path("channels/kinds", channels.KindList.as_view(), name="api-channel-kinds"),
    path("channels/<int:channel_id>", channels.ChannelDetail.as_view(), name="api-channel"),
    path("channels/<int:channel_id>/test", channels.ChannelTest.as_view(), name="api-channel-test"),
    path("channels/<int:channel_id>/enable", channels.ChannelEnable.as_view(), name="api-channel-enable"),
]
