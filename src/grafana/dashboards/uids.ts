/** The dashboards' stable names in links, which are also their file names, from general to particular. */
export const dashboardUids = {
  overview: 'tencent-chat-overview',
  errorCode: 'tencent-chat-error-code',
  groupsAndPlatforms: 'tencent-chat-groups-and-platforms',
  moderation: 'tencent-chat-moderation',
  exporter: 'tencent-chat-exporter',
} as const;

export type DashboardUid = (typeof dashboardUids)[keyof typeof dashboardUids];
