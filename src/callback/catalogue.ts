/**
 * The error codes that a group message's exception can carry, as Tencent documents them.
 *
 * Source: Tencent's error-code pages, https://www.tencentcloud.com/document/product/1047/34348. Name and category are
 * ours. `likelihood`, of seeing the code in this callback, is a judgement; Tencent's own list for a group send is 10002,
 * 10004, 10007, 10010, 10015, 10016, 10017, 10023 and 80002. Codes are added without notice, so one that is not listed
 * is normal. 6000 to 9999 and 2000 to 2999 are made on devices and never come from the server.
 */
import type { ErrorCategory } from './exception.ts';

export interface CatalogueEntry {
  /** One code, or a range with both ends in it. */
  code: number | { from: number; to: number };
  name: string;
  category: Exclude<ErrorCategory, 'unknown'>;
  likelihood: 'high' | 'medium' | 'low';
  meaning: string;
  remedy: string;
}

type Row = [
  code: CatalogueEntry['code'],
  name: string,
  category: CatalogueEntry['category'],
  likelihood: CatalogueEntry['likelihood'],
  meaning: string,
  remedy: string,
];

// biome-ignore format: one line per code, so that the table reads as one
const rows: Row[] = [
  [-20009, 'access_client_freq_limit', 'rate_limited', 'low', 'The client calls an API too often', 'Slow the client down'],
  [-10114, 'access_overloaded', 'internal_error', 'low', 'The server is overloaded and drops packets', 'Back off and retry'],
  [-10113, 'access_user_freq_limit', 'rate_limited', 'low', 'One user sends too many requests of one kind', 'Slow the client down'],
  [-10112, 'access_sdkappid_stopped', 'quota_exceeded', 'low', 'The app is stopped', 'Renew the plan; contact support'],
  [-10111, 'access_command_blocklisted', 'not_permitted', 'low', 'The command is on the blocklist for the app', 'Contact support'],
  [-10110, 'access_sdkappid_blocklisted', 'quota_exceeded', 'low', 'The app is on the blocklist', 'Contact support'],
  [-10109, 'access_packet_format', 'invalid_parameter', 'low', 'The request packet is malformed', 'Upgrade the SDK; contact support'],
  [-10108, 'access_prepaid_arrears', 'quota_exceeded', 'low', 'The prepaid account is in arrears', 'Top up'],
  [-10004, 'access_ticket_invalid', 'not_permitted', 'low', 'The session ticket is not valid', 'Log in again'],
  [-10003, 'access_ticket_expired', 'not_permitted', 'low', 'The session ticket expired', 'Log in again'],
  [-10001, 'access_key_expired', 'not_permitted', 'low', 'The session key expired', 'Log in again'],
  [-302, 'access_too_many_connections', 'rate_limited', 'low', 'The server has too many connections', 'Back off and retry'],
  [10002, 'group_internal_error', 'internal_error', 'high', 'Group service failed internally while handling the send', 'Retry with back-off; open a ticket with Tencent if it persists'],
  [10003, 'group_api_name_error', 'invalid_parameter', 'low', 'The request named a group API that does not exist', 'Correct the API/command name in the caller'],
  [10004, 'group_invalid_parameters', 'invalid_parameter', 'high', 'Some field of the send request is invalid; ErrorInfo says which', 'Read ErrorInfo, fix the field, resend'],
  [10005, 'group_account_count_limit', 'invalid_parameter', 'medium', 'Too many accounts were listed in one request (for example in To_Account)', 'Send to fewer accounts per request'],
  [10006, 'group_operation_freq_limit', 'rate_limited', 'medium', 'The operation was called too often', 'Slow the caller down, add back-off'],
  [10007, 'group_permission_deny', 'not_permitted', 'high', 'The sender may not do this: not a group member, wrong role, action not offered by this group type, or REST caller is not an app admin', 'Check that the sender joined the group and has the right role; for REST use an admin identifier'],
  [10008, 'group_invalid_request', 'invalid_parameter', 'low', 'Legacy code: request rejected, for example its signature data did not verify', 'Retry; upgrade old SDKs'],
  [10009, 'group_owner_cannot_quit', 'not_permitted', 'low', 'The owner cannot leave this group', 'Not a send error; transfer or disband the group instead'],
  [10010, 'group_not_found', 'group_unavailable', 'high', 'The group does not exist or was disbanded', 'Refresh the group list; stop sending to this group ID'],
  [10011, 'group_json_parse_failed', 'invalid_parameter', 'medium', 'The JSON of the request could not be parsed', 'Fix the JSON the server sends'],
  [10012, 'group_invalid_operator_id', 'invalid_parameter', 'medium', 'The UserID that started the operation is not valid', 'Check the operator UserID and that it was imported'],
  [10013, 'group_already_member', 'other', 'low', 'The user is already in the group', 'Not a send error; ignore'],
  [10014, 'group_member_full', 'quota_exceeded', 'low', 'The group has no room for more members', 'Not a send error; raise the member limit'],
  [10015, 'group_invalid_group_id', 'group_unavailable', 'high', 'The group ID is malformed, or the group does not exist or was disbanded', 'Check the group ID, including the @TGS# prefix'],
  [10016, 'group_rejected_by_app_callback', 'rejected_by_app', 'high', 'The app server refused the message in its before-send callback (ErrorCode 1)', 'Expected when your own filter blocks; otherwise inspect the before-send handler'],
  [10017, 'group_sender_muted', 'muted', 'high', 'The sender is muted: in this group, by mute-all, or by the app-wide group-message mute', 'Unmute the user or wait for the mute to end; hide the input box while muted'],
  [10018, 'group_response_too_large', 'invalid_parameter', 'low', 'The reply would exceed 1 MB because too much was asked for at once', 'Ask for less per request; not expected for a send'],
  [10019, 'group_account_not_found', 'invalid_parameter', 'medium', 'A UserID in the request does not exist (sender, mentioned user or targeted receiver)', 'Import the account or correct the UserID'],
  [10021, 'group_id_in_use', 'other', 'low', 'That group ID is taken', 'Not a send error; choose another ID'],
  [10023, 'group_send_msg_freq_limit', 'rate_limited', 'high', 'More messages than the per-group limit (40 per second by default); lower priorities are dropped first', 'Merge or throttle messages, set MsgPriority, split busy rooms'],
  [10024, 'group_request_already_handled', 'other', 'low', 'The join request or invitation was already handled', 'Not a send error; ignore'],
  [10025, 'group_id_in_use_by_owner', 'other', 'low', 'The group ID is taken and the caller owns it', 'Not a send error; use the group'],
  [10026, 'group_command_disabled_for_app', 'not_permitted', 'medium', 'This command is switched off for the SDKAppID', 'Ask Tencent support to enable it'],
  [10030, 'group_recall_msg_not_found', 'other', 'low', 'The message to recall does not exist', 'Not a send error; check the sequence number'],
  [10031, 'group_recall_too_late', 'other', 'low', 'The recall window (2 minutes by default) has passed', 'Not a send error'],
  [10032, 'group_recall_not_supported_msg', 'other', 'low', 'That message cannot be recalled', 'Not a send error'],
  [10033, 'group_recall_not_supported_type', 'other', 'low', 'That group type has no recall', 'Not a send error'],
  [10034, 'group_delete_not_supported_msg', 'other', 'low', 'That message type cannot be deleted', 'Not a send error'],
  [10035, 'group_delete_not_supported_type', 'other', 'low', 'AVChatRoom and BChatRoom do not allow message deletion', 'Not a send error'],
  [10036, 'group_avchatroom_count_limit', 'quota_exceeded', 'low', 'Too many AVChatRoom groups for the plan', 'Not a send error; buy capacity or disband rooms'],
  [10037, 'group_count_limit_per_user', 'quota_exceeded', 'low', 'The user created or joined too many groups', 'Not a send error; upgrade or leave groups'],
  [10038, 'group_member_count_limit', 'quota_exceeded', 'low', 'The group member limit of the plan is reached', 'Not a send error; upgrade the plan'],
  [10041, 'group_recall_disabled_for_app', 'other', 'low', 'Recall is switched off for the app', 'Not a send error'],
  [10044, 'group_no_message_history', 'other', 'low', 'This group type keeps no history', 'Not a send error'],
  [10045, 'group_attr_key_too_long', 'invalid_parameter', 'low', 'Group attribute key longer than 32 bytes', 'Not a send error; shorten the key'],
  [10046, 'group_attr_value_too_long', 'invalid_parameter', 'low', 'Group attribute value longer than 4000 bytes', 'Not a send error; shorten the value'],
  [10047, 'group_attr_too_many_keys', 'invalid_parameter', 'low', 'More than 16 group attribute keys', 'Not a send error; use fewer keys'],
  [10048, 'group_attr_total_too_large', 'invalid_parameter', 'low', 'All group attribute values together exceed 16000 bytes', 'Not a send error; store less'],
  [10049, 'group_attr_freq_limit', 'rate_limited', 'low', 'Group attributes are written too often', 'Not a send error; write less often'],
  [10050, 'group_attr_not_found', 'other', 'low', 'The attribute to delete does not exist', 'Not a send error'],
  [10051, 'group_delete_range_too_wide', 'invalid_parameter', 'low', 'The delete request spans too many messages', 'Not a send error; narrow the range'],
  [10052, 'group_delete_msg_not_found', 'other', 'low', 'The message to delete is not in the group', 'Not a send error'],
  [10053, 'group_at_count_limit', 'invalid_parameter', 'high', 'More than 30 users are mentioned in one message', 'Mention fewer users or split the message'],
  [10054, 'group_too_many_members_to_list', 'other', 'low', 'The member list must be read page by page', 'Not a send error'],
  [10056, 'group_attr_write_conflict', 'other', 'low', 'Another writer changed the group attributes first', 'Not a send error; re-read and retry'],
  [10058, 'group_trial_group_limit', 'quota_exceeded', 'low', 'The trial plan allows 100 groups', 'Not a send error; buy a plan'],
  [10059, 'group_feature_needs_higher_plan', 'quota_exceeded', 'medium', 'The feature used by the message (for example targeted receivers or read receipts) needs a higher plan', 'Upgrade the plan or drop the feature'],
  [10060, 'group_too_large_for_read_receipt', 'quota_exceeded', 'medium', 'The group is larger than read receipts allow', 'Send without asking for a read receipt'],
  [10061, 'group_online_msg_no_read_receipt', 'invalid_parameter', 'medium', 'An online-only message cannot ask for a read receipt', 'Drop the read-receipt flag or send a normal message'],
  [10062, 'group_read_receipt_not_found', 'other', 'low', 'No read-receipt data exists for the message', 'Not a send error; request receipts when sending'],
  [10063, 'group_counter_key_limit', 'quota_exceeded', 'low', 'More than 20 group counter keys', 'Not a send error; use fewer keys'],
  [10070, 'group_pinned_msg_limit', 'quota_exceeded', 'low', 'Too many pinned messages', 'Not a send error; unpin some'],
  [{ from: 10100, to: 10200 }, 'group_custom_app_code', 'rejected_by_app', 'high', 'Custom code returned by the app server in Group.CallbackBeforeSendMsg; the meaning is your own', 'Look the code up in your own before-send handler'],
  [11000, 'community_not_enabled', 'quota_exceeded', 'medium', 'The community (topic) feature is not enabled for the app', 'Enable Community in the console (needs a suitable plan)'],
  [20001, 'msg_invalid_request_packet', 'invalid_parameter', 'low', 'The request packet is not valid', 'Check sender and receiver; contact support'],
  [20002, 'msg_auth_expired', 'not_permitted', 'low', 'The login ticket expired', 'Log in again'],
  [20003, 'msg_invalid_user_id', 'invalid_parameter', 'low', 'Sender or receiver UserID does not exist', 'Import the account'],
  [20004, 'msg_network_error', 'internal_error', 'low', 'Network trouble inside the service', 'Retry'],
  [20005, 'msg_internal_error', 'internal_error', 'low', 'Internal error', 'Retry'],
  [20006, 'c2c_rejected_by_app_callback', 'rejected_by_app', 'low', 'One-to-one only: the app refused the message before sending', 'Inspect the C2C before-send handler'],
  [20007, 'c2c_sender_blocked_by_peer', 'not_permitted', 'low', 'One-to-one only: the receiver blocked the sender', 'Tell the sender'],
  [20008, 'msg_sdkappid_mismatch', 'invalid_parameter', 'low', 'Sender and receiver belong to different apps', 'Clear the client database after changing SDKAppID'],
  [20009, 'c2c_not_friends', 'not_permitted', 'low', 'One-to-one only: the two are not friends', 'Add the friend first'],
  [20010, 'c2c_not_peer_friend', 'not_permitted', 'low', "One-to-one only: the sender is not the receiver's friend", 'Add the friend first'],
  [20011, 'c2c_peer_not_self_friend', 'not_permitted', 'low', "One-to-one only: the receiver is not the sender's friend", 'Add the friend first'],
  [20012, 'c2c_sender_muted', 'muted', 'low', 'The sender is muted app-wide for one-to-one messages (group mute gives 10017)', 'Lift the mute or wait'],
  [20016, 'msg_recall_too_late', 'other', 'low', 'The recall window has passed', 'Not a send error'],
  [20018, 'msg_history_delete_error', 'internal_error', 'low', 'Deleting history failed', 'Not a send error; retry'],
  [20022, 'msg_recall_not_found', 'other', 'low', 'The message to recall does not exist', 'Not a send error'],
  [20023, 'msg_already_recalled', 'other', 'low', 'The message was already recalled', 'Not a send error'],
  [20027, 'msg_version_conflict', 'other', 'low', 'The message was changed meanwhile', 'Not a send error; re-read and retry'],
  [20028, 'msg_concurrent_modify', 'other', 'low', 'Two edits collided', 'Not a send error; retry'],
  [22006, 'push_freq_limit', 'rate_limited', 'low', 'Push token requests come too often', 'Not a send error'],
  [22007, 'sender_quota_exceeded', 'quota_exceeded', 'medium', 'The trial plan went over its number of senders', 'Upgrade the plan'],
  [60002, 'http_parse_error', 'invalid_parameter', 'low', 'The HTTP request could not be parsed', 'Fix the REST URL'],
  [60003, 'http_json_parse_error', 'invalid_parameter', 'low', 'The JSON body of the REST call could not be parsed', 'Fix the JSON'],
  [60004, 'account_check_failed', 'invalid_parameter', 'low', 'UserID or UserSig in the REST call is wrong', 'Check identifier and UserSig'],
  [60005, 'account_check_failed_ex', 'invalid_parameter', 'low', 'UserID or UserSig in the REST call is wrong', 'Check identifier and UserSig'],
  [60006, 'invalid_sdkappid', 'invalid_parameter', 'low', 'The SDKAppID is not valid', 'Check the SDKAppID'],
  [60007, 'rest_freq_limit', 'rate_limited', 'medium', 'The REST API is called too often', 'Lower the call rate or raise the limit in the console'],
  [60008, 'request_timeout', 'internal_error', 'medium', 'The service timed out or the HTTP request was malformed', 'Retry; check the request'],
  [60009, 'invalid_resource', 'invalid_parameter', 'low', 'The request URL names an unknown resource', 'Fix the URL'],
  [60010, 'identifier_not_admin', 'not_permitted', 'low', 'The REST caller is not an app admin', 'Use an admin identifier'],
  [60011, 'sdkappid_freq_limit', 'rate_limited', 'medium', 'The whole app sends too many requests', 'Lower the request rate'],
  [60012, 'sdkappid_missing', 'invalid_parameter', 'low', 'The REST call has no SDKAppID', 'Add sdkappid to the URL'],
  [60013, 'response_json_parse_error', 'internal_error', 'low', 'The service could not parse its own HTTP reply', 'Retry; contact support'],
  [60014, 'account_exchange_timeout', 'internal_error', 'low', 'Looking up the account timed out', 'Retry'],
  [60015, 'invalid_id_format', 'invalid_parameter', 'low', 'A UserID is not a string', 'Send UserID as a string'],
  [60016, 'sdkappid_disabled', 'quota_exceeded', 'low', 'The app is disabled', 'Contact Tencent support'],
  [60017, 'request_disabled', 'not_permitted', 'low', 'The request is disabled', 'Contact Tencent support'],
  [60018, 'request_freq_limit', 'rate_limited', 'medium', 'Too many requests', 'Back off and retry later'],
  [60019, 'request_freq_limit_ex', 'rate_limited', 'medium', 'Too many requests', 'Back off and retry later'],
  [60020, 'service_unavailable_plan', 'quota_exceeded', 'medium', 'Service unavailable: no plan, plan expired or account in arrears', 'Buy or renew the plan, or top up'],
  [60021, 'rest_source_ip_denied', 'not_permitted', 'low', 'The source IP of the REST call is not allowed', 'Correct the IP allow-list'],
  [60022, 'service_overloaded', 'internal_error', 'low', 'The service is overloaded (constant in the Web SDK, not in the public table)', 'Back off and retry'],
  [60025, 'rest_url_params_invalid', 'invalid_parameter', 'low', 'SDKAppID, identifier, UserSig or contenttype in the URL is wrong', 'Fix the URL parameters'],
  [60026, 'rest_domain_mismatch', 'invalid_parameter', 'low', 'The REST domain does not belong to the data centre of this SDKAppID', 'Call the domain of the right region'],
  [60027, 'product_type_mismatch', 'not_permitted', 'low', 'The app type may not call this API', 'Use the right product or API'],
  [60028, 'trial_rest_quota', 'quota_exceeded', 'low', 'The trial plan used up its REST calls for 24 hours', 'Upgrade the plan or wait'],
  [70001, 'usersig_expired', 'not_permitted', 'low', 'The UserSig has expired', 'Issue a new UserSig'],
  [70002, 'usersig_empty', 'not_permitted', 'low', 'The UserSig is empty', 'Send a valid UserSig'],
  [70003, 'usersig_invalid', 'not_permitted', 'low', 'The UserSig is not valid', 'Generate it again with the official code'],
  [70005, 'usersig_invalid_ex', 'not_permitted', 'low', 'The UserSig is not valid', 'Generate it again with the official code'],
  [70009, 'usersig_key_mismatch', 'not_permitted', 'low', 'The UserSig was made with the key of another app', 'Use the key of this SDKAppID'],
  [70013, 'usersig_id_mismatch', 'not_permitted', 'low', 'UserID and UserSig do not belong together', 'Use the matching pair'],
  [70014, 'usersig_sdkappid_mismatch', 'not_permitted', 'low', 'SDKAppID and UserSig do not belong together', 'Use the matching pair'],
  [70016, 'usersig_public_key_missing', 'not_permitted', 'low', 'No public key is known for this app or region', 'Check SDKAppID and data centre'],
  [70020, 'sdkappid_not_found', 'not_permitted', 'low', 'The SDKAppID is unknown', 'Check SDKAppID and data centre'],
  [70050, 'usersig_check_freq_limit', 'rate_limited', 'low', 'UserSig checks failed too often', 'Wait a minute, then use a correct UserSig'],
  [70051, 'account_blocklisted', 'not_permitted', 'low', 'The account is on the blocklist', 'Unblock the account'],
  [70052, 'usersig_revoked', 'not_permitted', 'low', 'The UserSig was made invalid', 'Issue a new UserSig'],
  [70107, 'account_not_imported', 'invalid_parameter', 'medium', 'The account was never imported into Chat', 'Import the account first'],
  [70114, 'account_security_restricted', 'not_permitted', 'low', 'The account is restricted for security reasons', 'Slow down logins; contact support'],
  [70169, 'account_internal_timeout', 'internal_error', 'medium', 'Internal timeout', 'Retry'],
  [70202, 'account_internal_timeout_ex', 'internal_error', 'medium', 'Internal timeout', 'Retry'],
  [70206, 'account_invalid_count', 'invalid_parameter', 'low', 'The batch size is not allowed', 'Change the batch size'],
  [70398, 'account_count_limit', 'quota_exceeded', 'low', 'The plan allows no more accounts', 'Upgrade the plan'],
  [70399, 'account_reimport_cooldown', 'quota_exceeded', 'low', 'A deleted account cannot be imported again for three months', 'Use another UserID'],
  [70402, 'account_invalid_parameters', 'invalid_parameter', 'low', 'A parameter is missing or wrong', 'Check required fields'],
  [70403, 'account_admin_required', 'not_permitted', 'low', 'The request needs an app admin', 'Use an admin identifier'],
  [70404, 'sdk_version_too_low', 'other', 'low', 'The SDK is too old', 'Upgrade the SDK'],
  [70500, 'account_internal_error', 'internal_error', 'medium', 'Internal error', 'Retry'],
  [71000, 'account_delete_not_supported', 'other', 'low', 'This app may not delete accounts', 'Not a send error'],
  [72000, 'dau_quota_exceeded', 'quota_exceeded', 'low', 'The trial plan went over its daily active users', 'Upgrade the plan'],
  [72001, 'user_status_feature_off', 'quota_exceeded', 'low', 'User status feature is not enabled', 'Not a send error; enable it in the console'],
  [72002, 'mau_quota_exceeded', 'quota_exceeded', 'low', 'The trial plan went over its monthly active users', 'Upgrade the plan'],
  [72010, 'single_user_freq_limit', 'rate_limited', 'low', 'One user logs in/out or switches state too often', 'Not a send error; slow down'],
  [72011, 'global_dnd_feature_off', 'quota_exceeded', 'low', 'Global do-not-disturb is not enabled', 'Not a send error'],
  [72012, 'profile_subscription_feature_off', 'quota_exceeded', 'low', 'Profile change subscription is not enabled', 'Not a send error'],
  [80001, 'text_sensitive_content', 'moderated', 'high', 'The text was judged to contain forbidden content and was not delivered', 'Show the user that the text was blocked; tune moderation words if it was wrong'],
  [80002, 'message_body_too_large', 'invalid_parameter', 'high', 'The message is larger than allowed (12 KB now, 8 KB in older docs)', 'Shorten the message or send a file/URL instead'],
  [80003, 'app_before_callback_failed', 'rejected_by_app', 'high', 'The before-send callback to the app failed or timed out and the console policy is not to deliver', 'Fix or speed up the before-send endpoint (2 s limit), or change the console policy'],
  [80004, 'image_sensitive_content', 'moderated', 'high', 'An image was judged to contain forbidden content and was not delivered', 'Show the user that the image was blocked; review moderation settings'],
  [80005, 'service_deactivated', 'quota_exceeded', 'medium', 'The service is stopped: plan expired or account in arrears', 'Renew the plan or top up the account'],
  [80101, 'content_attack_legacy', 'moderated', 'low', 'Legacy SDK V3 code for message content hit by security', 'Treat like 80001'],
  [90001, 'rest_msg_json_parse_failed', 'invalid_parameter', 'low', 'REST message: the JSON could not be parsed', 'Fix the JSON'],
  [90002, 'rest_msg_body_format', 'invalid_parameter', 'low', 'REST message: MsgBody does not follow the format or is not an array', 'Fix MsgBody'],
  [90003, 'rest_msg_to_account', 'invalid_parameter', 'low', 'REST message: To_Account missing or unknown', 'Fix To_Account'],
  [90005, 'rest_msg_random', 'invalid_parameter', 'low', 'REST message: MsgRandom missing or not an integer', 'Send an unsigned 32-bit integer'],
  [90006, 'rest_msg_timestamp', 'invalid_parameter', 'low', 'REST message: MsgTimeStamp missing or not an integer', 'Fix MsgTimeStamp'],
  [90007, 'rest_msg_body_not_array', 'invalid_parameter', 'low', 'REST message: MsgBody is not an array', 'Send an array'],
  [90008, 'rest_msg_from_account', 'invalid_parameter', 'low', 'REST message: From_Account missing or unknown', 'Fix From_Account'],
  [90009, 'rest_msg_admin_required', 'not_permitted', 'low', 'REST message: caller is not an app admin', 'Use an admin identifier'],
  [90010, 'rest_msg_format', 'invalid_parameter', 'low', 'REST message: the JSON does not follow the message format', 'Fix the message format'],
  [90011, 'rest_msg_too_many_targets', 'invalid_parameter', 'low', 'REST message: more than 500 targets', 'Send to fewer accounts'],
  [90012, 'rest_msg_to_account_not_found', 'invalid_parameter', 'low', 'REST message: a target account is not registered', 'Import the account'],
  [90018, 'rest_msg_account_limit', 'invalid_parameter', 'low', 'Too many accounts in the request', 'Send fewer accounts'],
  [90026, 'rest_msg_lifetime_too_long', 'invalid_parameter', 'low', 'MsgLifeTime is too large (7 days at most)', 'Lower MsgLifeTime'],
  [90028, 'rest_msg_to_account_not_array', 'invalid_parameter', 'low', 'Batch message: To_Account is not an array', 'Send an array'],
  [90029, 'rest_msg_to_account_empty', 'invalid_parameter', 'low', 'Batch message: To_Account is empty', 'Add at least one account'],
  [90031, 'rest_msg_sync_other_machine', 'invalid_parameter', 'low', 'SyncOtherMachine is not an integer', 'Fix the type'],
  [90043, 'rest_msg_offline_push_info', 'invalid_parameter', 'medium', 'OfflinePushInfo does not follow the format', 'Fix OfflinePushInfo'],
  [90044, 'rest_msg_lifetime_type', 'invalid_parameter', 'low', 'MsgLifeTime is not an integer', 'Fix the type'],
  [90048, 'rest_msg_account_not_found', 'invalid_parameter', 'low', 'The account does not exist', 'Check whether the account was deleted'],
  [90054, 'rest_msg_key_invalid', 'invalid_parameter', 'low', 'MsgKey of the recall is not valid', 'Not a send error'],
  [90055, 'rest_msg_batch_too_large', 'invalid_parameter', 'low', 'Batch message body too large (12 KB now, 8 KB before)', 'Shorten the message'],
  [90057, 'rest_msg_batch_freq_limit', 'rate_limited', 'low', 'Batch one-to-one sending is too fast', 'Slow down or raise the limit in the console'],
  [90992, 'msg_callback_or_internal_error', 'internal_error', 'medium', 'Internal error; if every request fails, the app callback endpoint does not answer properly', 'Retry; check the callback endpoint'],
  [90994, 'msg_internal_error2', 'internal_error', 'low', 'Internal error', 'Retry'],
  [90995, 'msg_internal_error3', 'internal_error', 'low', 'Internal error, in newer docs also: message too long', 'Retry; shorten the message'],
  [91000, 'msg_internal_error4', 'internal_error', 'low', 'Internal error', 'Retry; contact support'],
  [91101, 'web_long_polling_kicked', 'other', 'low', 'Too many Web instances of one user', 'Not a send error'],
  [93000, 'json_body_too_large', 'invalid_parameter', 'medium', 'The JSON packet is too large (12 KB now, 8 KB before); moderation APIs use the same number', 'Shorten the message'],
  [110006, 'community_permission_group_gone', 'group_unavailable', 'low', 'The permission group does not exist or was disbanded', 'Not expected for a send; refresh permission groups'],
  [110007, 'community_permission_group_delete_failed', 'internal_error', 'low', 'Deleting the permission group failed', 'Not a send error; retry'],
  [110008, 'community_permission_group_deleted', 'group_unavailable', 'low', 'The permission group does not exist or was deleted', 'Not expected for a send; use a valid permission group'],
  [110010, 'community_topic_already_in_permission_group', 'other', 'low', 'The topic is already in that permission group', 'Not a send error'],
  [110011, 'community_topic_not_in_permission_group', 'group_unavailable', 'medium', 'The topic is not in that permission group', 'Check the topic ID and its permissions'],
  [110012, 'community_permission_group_member_limit', 'quota_exceeded', 'low', 'The permission group has too many members', 'Not a send error'],
  [110013, 'community_invalid_topic_id', 'invalid_parameter', 'medium', 'The topic ID is not valid', 'Check the TopicId, form GroupId + @TOPIC#_ + name'],
  [110014, 'community_topic_permission_deleted', 'not_permitted', 'medium', 'The topic permission was removed', 'Grant the permission again or use another topic'],
  [{ from: 120001, to: 130000 }, 'c2c_custom_app_code', 'rejected_by_app', 'medium', 'Custom code range for one-to-one before-send callbacks; SDKs accept it for group sends too', 'Look the code up in your own handler'],
];

/** By code, ascending; a range stands where it begins. */
export const catalogue: readonly CatalogueEntry[] = rows.map(
  ([code, name, category, likelihood, meaning, remedy]) => ({
    code,
    name,
    category,
    likelihood,
    meaning,
    remedy,
  }),
);

const entriesByCode = new Map(catalogue.map(entry => [entry.code, entry]));
const ranges = catalogue.flatMap(entry => (typeof entry.code === 'object' ? [{ ...entry.code, entry }] : []));

/** The entry of a code, or of the range that it is in. */
export function describeCode(code: number): CatalogueEntry | undefined {
  return entriesByCode.get(code) ?? ranges.find(({ from, to }) => code >= from && code <= to)?.entry;
}

/** What is said of a label `error_code` that has no entry. */
const otherCodes: Record<string, Pick<CatalogueEntry, 'name' | 'meaning' | 'remedy'>> = {
  other: {
    name: 'other_codes',
    meaning: 'Distinct codes beyond those that keep their number',
    remedy: 'Read the number in the log records',
  },
  unknown: {
    name: 'no_code',
    meaning: 'The callback had no ErrorCode',
    remedy: 'Many of them, while callbacks are not authenticated, are invented',
  },
  invalid: {
    name: 'invalid_code',
    meaning: 'The callback had an ErrorCode that is no integer',
    remedy: 'Many of them, while callbacks are not authenticated, are invented',
  },
};

const unlisted = {
  name: 'unknown',
  meaning: 'A code that the catalogue does not have: Tencent adds codes without notice',
  remedy: "Read ErrorInfo in the log record; look the number up in Tencent's error-code pages",
};

/** What a person should know of a label `error_code`, whatever it is. */
export function explainCode(label: string): Pick<CatalogueEntry, 'name' | 'meaning' | 'remedy'> {
  return otherCodes[label] ?? describeCode(Number(label)) ?? unlisted;
}
