/**
 * The callbacks of a chat app that does not exist: mostly exceptions, some sent again, a few of other commands. Now and
 * then a room runs into the frequency limit for some seconds, or moderation blocks what many users send for minutes.
 *
 * The same random numbers give the same callbacks, apart from their times. Nothing here waits or looks at a clock.
 */
import { exceptionCommand } from '../callback/commands.ts';
import { between, createRandom, pick, pickShare, type Random } from './random.ts';
import { codeShares, groupTypeShares, platformShares } from './shares.ts';

export interface SimulatedCallback {
  kind: 'exception' | 'repetition' | 'other command';
  sdkAppId: string;
  command: string;
  /** Parameters of its URL beside those that every callback has, by their names on the wire. */
  parameters: Record<string, string>;
  body: string;
}

/** Something that goes on for a while, and most callbacks are about. */
interface Episode {
  kind: 'hot room' | 'moderation wave';
  fromMs: number;
  toMs: number;
  /** The number of its group; a wave goes through many. */
  group: number;
}

export interface Traffic {
  /**
   * The next callback. `dueMs` is when it is due, in milliseconds since the traffic began, and does not go back; `now`
   * is the Unix epoch's time, in milliseconds.
   */
  next(dueMs: number, now: number): SimulatedCallback;
}

const otherCommandShare = 0.05;
const repetitionShare = 0.01;
/** What is drawn from the rare values below. */
const rareShare = 0.02;

const otherCommands = [
  'Group.CallbackAfterSendMsg',
  'Group.CallbackBeforeSendMsg',
  'Group.CallbackAfterNewMemberJoin',
  'Group.CallbackOnMemberStateChange',
  'C2C.CallbackAfterSendMsg',
  'State.StateChange',
];

/** Beside the usual ones of shares.ts: what is seldom, spelt otherwise, or new. */
const rareGroupTypes = ['BChatRoom', 'Live', 'Room', 'Work', 'Meeting'];
const rarePlatforms = ['iPad', 'macOS', 'IOS', 'Unknown', 'HarmonyOS'];
const rareCodes = [10005, 10053, 10059, 10101, 10150, 11000, 22007, 60008, 80003, 90992, 10998];

const groupCount = 200;
const userCount = 5_000;

/** What Tencent writes, where it is known; else the code's number is all. */
const errorInfos: Record<number, string> = {
  10002: 'group svr internal error',
  10007: 'only group member can send msg',
  10010: 'group not exist or disbanded',
  10017: 'sender was shut up',
  10023: 'msg count exceeds limit,please retry later',
  80001: 'msg hit dirty word',
};

const elements: Record<string, (random: Random) => Record<string, unknown>> = {
  TIMTextElem: random => ({ Text: pick(random, ['hello', 'good evening', 'red packet', 'see you', 'gg']) }),
  TIMFaceElem: random => ({ Index: between(random, 0, 60), Data: 'face' }),
  TIMImageElem: random => ({
    UUID: hex(random, 32),
    ImageFormat: 1,
    ImageInfoArray: [{ Type: 1, Size: between(random, 10_000, 900_000), URL: 'https://image.example/1.jpg' }],
  }),
  TIMCustomElem: () => ({ Data: '{"gift":"rose"}', Desc: 'gift', Ext: '', Sound: '' }),
  TIMSoundElem: random => ({ UUID: hex(random, 32), Size: between(random, 2_000, 60_000), Second: 4 }),
  TIMVideoFileElem: random => ({
    VideoUUID: hex(random, 32),
    VideoSize: between(random, 100_000, 9_000_000),
  }),
  TIMFileElem: random => ({
    UUID: hex(random, 32),
    FileSize: between(random, 1_000, 90_000),
    FileName: 'a.pdf',
  }),
  TIMLocationElem: () => ({ Desc: 'here', Latitude: 22.54, Longitude: 114.06 }),
};
const elementShares = {
  TIMTextElem: 0.72,
  TIMFaceElem: 0.07,
  TIMImageElem: 0.08,
  TIMCustomElem: 0.07,
  TIMSoundElem: 0.02,
  TIMVideoFileElem: 0.015,
  TIMFileElem: 0.015,
  TIMLocationElem: 0.01,
};

const episodes = {
  'hot room': { meanPauseMs: 60_000, lengthMs: [3_000, 10_000], share: 0.85 },
  'moderation wave': { meanPauseMs: 600_000, lengthMs: [60_000, 180_000], share: 0.8 },
} as const;

/** Sent again is one of so many last exceptions. */
const recentMax = 20;

export function createTraffic(options: { seed: number; sdkAppIds: readonly string[] }): Traffic {
  const random = createRandom(options.seed);
  const plans = Object.keys(episodes).map((kind, index) =>
    planEpisodes(kind as Episode['kind'], createRandom(options.seed + 1 + index)),
  );
  const recent: SimulatedCallback[] = [];

  return {
    next(dueMs, now) {
      const share = random();
      if (share < otherCommandShare) return otherCommand(random, options.sdkAppIds);
      if (share < otherCommandShare + repetitionShare && recent.length > 0) {
        return { ...pick(random, recent), kind: 'repetition' };
      }
      const current = plans.map(plan => plan(dueMs)).find(episode => episode !== null);
      const isOfIt = current !== undefined && random() < episodes[current.kind].share;
      const callback = exception(random, options.sdkAppIds, isOfIt ? current : null, now);
      recent.push(callback);
      if (recent.length > recentMax) recent.shift();
      return callback;
    },
  };
}

/** The episode of this kind that goes on at a time; asked in ascending order. */
function planEpisodes(kind: Episode['kind'], random: Random): (dueMs: number) => Episode | null {
  const { meanPauseMs, lengthMs } = episodes[kind];
  let episode: Episode = { kind, fromMs: 0, toMs: 0, group: 0 };
  return dueMs => {
    while (dueMs >= episode.toMs) {
      // From half the mean to three halves of it: a run of some length is sure to see one.
      const fromMs = episode.toMs + meanPauseMs * (0.5 + random());
      const toMs = fromMs + between(random, lengthMs[0], lengthMs[1]);
      episode = { kind, fromMs, toMs, group: between(random, 0, groupCount - 1) };
    }
    return dueMs >= episode.fromMs ? episode : null;
  };
}

function exception(
  random: Random,
  sdkAppIds: readonly string[],
  episode: Episode | null,
  now: number,
): SimulatedCallback {
  const errorCode = codeOf(random, episode);
  const isRare = random() < rareShare;
  const platform = isRare ? pick(random, rarePlatforms) : pickShare(random, platformShares);
  const group = groupOf(
    // Few groups are busy, most are not.
    episode?.kind === 'hot room' ? episode.group : Math.floor(groupCount * random() ** 3),
    isRare ? pick(random, rareGroupTypes) : null,
  );
  const user = `user${between(random, 1, userCount)}`;
  const element =
    errorCode === 80001
      ? 'TIMTextElem'
      : errorCode === 80004
        ? 'TIMImageElem'
        : pickShare(random, elementShares);
  // A group that does not exist has no type.
  const hasType = errorCode !== 10010 && errorCode !== 10015;
  const delayMs = Math.round(40 + 200 * random() ** 2);
  const body = {
    CallbackCommand: exceptionCommand,
    GroupId: group.id,
    ...(hasType ? { Type: group.type } : {}),
    ...(group.type === 'Community' && random() < 0.5
      ? { TopicId: `${group.id}@TOPIC#_T${between(random, 1, 5)}` }
      : {}),
    From_Account: user,
    Operator_Account: platform === 'RESTAPI' ? 'administrator' : user,
    Random: between(random, 0, 2 ** 32 - 1),
    OnlineOnlyFlag: random() < 0.1 ? 1 : 0,
    MsgBody: [{ MsgType: element, MsgContent: elements[element]!(random) }],
    ErrorCode: errorCode,
    ErrorInfo: errorInfos[errorCode] ?? `send msg failed, code ${errorCode}`,
    EventTime: String(now - delayMs),
  };
  return {
    kind: 'exception',
    sdkAppId: pick(random, sdkAppIds),
    command: exceptionCommand,
    parameters: { ClientIP: addressOf(random), OptPlatform: platform },
    body: JSON.stringify(body),
  };
}

function codeOf(random: Random, episode: Episode | null): number {
  if (episode?.kind === 'hot room') return 10023;
  if (episode?.kind === 'moderation wave') return random() < 0.8 ? 80001 : 80004;
  return random() < rareShare ? pick(random, rareCodes) : Number(pickShare(random, codeShares));
}

/** Of the same number always the same, unless `type` is given. */
function groupOf(number: number, type: string | null): { id: string; type: string } {
  const own = createRandom(number * 7919);
  const ownType = type ?? pickShare(own, groupTypeShares);
  const name = hex(own, 9).toUpperCase();
  return { id: ownType === 'Community' ? `@TGS#_@TGS#c${name}` : `@TGS#${name}`, type: ownType };
}

/** From the ranges that documentation may use. */
function addressOf(random: Random): string {
  return random() < 0.1
    ? `2001:db8::${between(random, 1, 65_535).toString(16)}`
    : `203.0.113.${between(random, 1, 254)}`;
}

function otherCommand(random: Random, sdkAppIds: readonly string[]): SimulatedCallback {
  const command = pick(random, otherCommands);
  const user = `user${between(random, 1, userCount)}`;
  return {
    kind: 'other command',
    sdkAppId: pick(random, sdkAppIds),
    command,
    parameters: { ClientIP: addressOf(random), OptPlatform: pickShare(random, platformShares) },
    body: JSON.stringify({ CallbackCommand: command, From_Account: user }),
  };
}

function hex(random: Random, digits: number): string {
  let text = '';
  while (text.length < digits)
    text += Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0');
  return text.slice(0, digits);
}
