import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type CallbackParameters, parseParameters, repeated } from '../../src/callback/parameters.ts';
import { sampleQuery } from '../support/samples.ts';

const parameters = suite('parameters');

const none: CallbackParameters = {
  sdkAppId: undefined,
  callbackCommand: undefined,
  clientIp: undefined,
  optPlatform: undefined,
  sign: undefined,
  requestTime: undefined,
};

parameters('reads what the sample URL of Tencent carries', () => {
  assert.equal(parseParameters(sampleQuery()), {
    ...none,
    sdkAppId: '1400000001',
    callbackCommand: 'Group.CallbackSendMsgException',
    clientIp: '203.0.113.7',
    optPlatform: 'Android',
  });
});

parameters('reads Sign and RequestTime, in any order', () => {
  const query = 'Sign=ab&SdkAppid=1&RequestTime=1669872112';
  assert.equal(parseParameters(query), { ...none, sdkAppId: '1', sign: 'ab', requestTime: '1669872112' });
});

parameters('matches names without regard to case, as LiveKit pages spell SdkAppId', () => {
  for (const name of ['SdkAppid', 'SdkAppId', 'sdkappid', 'SDKAPPID']) {
    assert.is(parseParameters(`${name}=1400000001`).sdkAppId, '1400000001');
  }
});

parameters('ignores contenttype in either case, RequestID and what a customer added', () => {
  assert.equal(parseParameters('contenttype=JSON&RequestID=6f1b&RequestId=6f1b&tenant=a&tenant=b'), none);
});

parameters('tells a repeated parameter from any value, also where spelling or value differ', () => {
  for (const query of [
    'SdkAppid=1&SdkAppid=1',
    'SdkAppid=1&sdkappid=2',
    'SdkAppid=&SdkAppid=1',
    'SdkAppid=1&SdkAppid=1&SdkAppid=1',
  ]) {
    assert.is(parseParameters(query).sdkAppId, repeated, query);
  }
  assert.is(parseParameters('SdkAppid=repeated').sdkAppId, 'repeated');
});

parameters('tells an empty parameter from a missing one', () => {
  assert.is(parseParameters('OptPlatform=&ClientIP').optPlatform, '');
  assert.is(parseParameters('OptPlatform=&ClientIP').clientIp, '');
  assert.is(parseParameters('OptPlatform=&ClientIP').sign, undefined);
});

parameters('decodes percent signs, and takes an IPv6 address as it comes', () => {
  assert.is(parseParameters('ClientIP=2001%3Adb8%3A%3A1').clientIp, '2001:db8::1');
  assert.is(parseParameters('ClientIP=2001:db8::1').clientIp, '2001:db8::1');
});

parameters('never throws, whatever the query string is', () => {
  for (const query of ['', '?', '&&&', '=', '%', '%zz=%80', '__proto__=1', 'constructor=1&constructor=2']) {
    assert.equal(parseParameters(query), none, query);
  }
});

parameters.run();
