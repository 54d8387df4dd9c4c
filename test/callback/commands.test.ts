import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { commandLabel, commandLabels, exceptionCommand, urlCommand } from '../../src/callback/commands.ts';
import { parseParameters } from '../../src/callback/parameters.ts';

const commands = suite('commands');

commands('labels a documented command by its name', () => {
  for (const command of [
    'Group.CallbackSendMsgException',
    'Group.CallbackBeforeSendMsg',
    'C2C.CallbackAfterModifyMsg',
    'Sns.CallbackFriendAdd',
    'Follow.CallbackAfterFollowDelete',
    'State.StateChange',
    'Profile.CallbackPortraitSet',
    'Alert.RequestOverLimit',
    'ContentCallback.ResultNotify',
    'Push.AllMemberPush',
    'Bot.OnGroupMessage',
    'Chatbot.OnC2CSignalMessage',
    'OfficialAccount.CallbackAfterMsgWithDraw',
  ]) {
    assert.is(commandLabel(command), command);
  }
});

commands('labels the sister products by their prefix', () => {
  assert.is(commandLabel('Live.CallbackAfterCreateRoom'), 'Live.*');
  assert.is(commandLabel('Room.CallbackAfterMemberEnter'), 'Room.*');
  assert.is(commandLabel('Call.'), 'Call.*');
});

commands('labels the rest other, also another spelling: matching is exact', () => {
  for (const command of [
    undefined,
    '',
    'Group.CallbackYetUnknown',
    'group.callbacksendmsgexception',
    ' Group.CallbackSendMsgException',
    'Live',
    'Livestream.X',
    'live.X',
    'constructor',
    'Group',
  ]) {
    assert.is(commandLabel(command), 'other', command);
  }
});

commands('are a closed set: every label is on the list, once', () => {
  assert.is(commandLabels.length, 59 + 3 + 1);
  assert.is(new Set(commandLabels).size, commandLabels.length);
  assert.ok(commandLabels.includes(exceptionCommand));
  for (const label of commandLabels) assert.is(commandLabel(label), label);
});

commands('come from the URL where it names one', () => {
  assert.is(urlCommand(parseParameters('CallbackCommand=State.StateChange')), 'State.StateChange');
  for (const query of ['', 'CallbackCommand=', 'CallbackCommand=a&CallbackCommand=a']) {
    assert.is(urlCommand(parseParameters(query)), undefined, query);
  }
});

commands.run();
