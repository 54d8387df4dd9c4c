/**
 * The callback commands that Tencent documents. One URL serves every callback of an app, so that any of them may
 * arrive; the list is open, and grows without notice.
 */
import type { CallbackParameters } from './parameters.ts';

/** The one command that is counted; the rest are answered. */
export const exceptionCommand = 'Group.CallbackSendMsgException';

const commandsByService: Record<string, string[]> = {
  Group: [
    'CallbackSendMsgException',
    'CallbackBeforeSendMsg',
    'CallbackAfterSendMsg',
    'CallbackBeforeCreateGroup',
    'CallbackAfterCreateGroup',
    'CallbackBeforeApplyJoinGroup',
    'CallbackBeforeInviteJoinGroup',
    'CallbackAfterNewMemberJoin',
    'CallbackAfterMemberExit',
    'CallbackAfterGroupFull',
    'CallbackAfterGroupDestroyed',
    'CallbackAfterGroupInfoChanged',
    'CallbackOnMemberStateChange',
    'CallbackAfterRecallMsg',
    'CallbackAfterModifyMsg',
    'CallbackAfterGroupMsgExtension',
    'CallbackAfterReadReceipt',
    'CallbackAfterMemberFieldChanged',
    'CallbackAfterGroupAttrChanged',
    'CallbackAfterChangeGroupOwner',
    'CallbackOnDailyGroupQuotaAlarm',
    'CallbackBeforeCreateTopic',
    'CallbackAfterCreateTopic',
    'CallbackAfterTopicDestroyed',
    'CallbackAfterTopicInfoChanged',
  ],
  C2C: [
    'CallbackBeforeSendMsg',
    'CallbackAfterSendMsg',
    'CallbackAfterMsgReport',
    'CallbackAfterMsgWithDraw',
    'CallbackAfterC2CMsgExtension',
    'CallbackAfterModifyMsg',
  ],
  Sns: [
    'CallbackPrevFriendAdd',
    'CallbackPrevFriendResponse',
    'CallbackFriendAdd',
    'CallbackFriendDelete',
    'CallbackBlackListAdd',
    'CallbackBlackListDelete',
  ],
  Follow: ['CallbackAfterFollowAdd', 'CallbackAfterFollowDelete'],
  State: ['StateChange'],
  Profile: ['CallbackPortraitSet'],
  Alert: ['RequestOverLimit'],
  ContentCallback: ['ResultNotify'],
  Push: ['OfflinePush', 'AllMemberPush'],
  Bot: ['OnC2CMessage', 'OnGroupMessage'],
  Chatbot: ['OnC2CSignalMessage'],
  OfficialAccount: [
    'CallbackBeforeCreateOfficialAccount',
    'CallbackAfterCreateOfficialAccount',
    'CallbackAfterOfficialAccountInfoChanged',
    'CallbackAfterOfficialAccountDestroyed',
    'CallbackBeforeAddSubscriber',
    'CallbackAfterAddSubscriber',
    'CallbackAfterDeleteSubscriber',
    'CallbackAfterOfficialAccountFull',
    'CallbackBeforeSendMsg',
    'CallbackAfterSendMsg',
    'CallbackAfterMsgWithDraw',
  ],
};

/** Sister products that speak the same protocol, usually to a URL of their own. Each is one label, `Live.*`. */
const sisterServices = ['Live', 'Room', 'Call'];

const commands = new Set(
  Object.entries(commandsByService).flatMap(([service, names]) => names.map(name => `${service}.${name}`)),
);

/** Every value that `commandLabel` can return: the closed set behind the label `command`. */
export const commandLabels: readonly string[] = [
  ...commands,
  ...sisterServices.map(service => `${service}.*`),
  'other',
];

/** The label of a command: itself where it is documented, spelt exactly so; `Live.*` and its sisters; else `other`. */
export function commandLabel(command: string | undefined): string {
  if (command === undefined) return 'other';
  if (command === exceptionCommand) return command;
  if (commands.has(command)) return command;
  const sister = sisterServices.find(service => command.startsWith(`${service}.`));
  return sister === undefined ? 'other' : `${sister}.*`;
}

/** The command that the URL names; `undefined` where it names none, an empty one, or several. */
export function urlCommand({ callbackCommand }: CallbackParameters): string | undefined {
  return typeof callbackCommand === 'string' && callbackCommand !== '' ? callbackCommand : undefined;
}
