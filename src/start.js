// The entry point. Plain JavaScript that any Node can read, so that one too old says so in one line: main.ts needs
// a Node that runs TypeScript.
const required = 24;
const major = Number(process.versions.node.split('.')[0]);
if (major >= required) {
  import('./main.ts');
} else {
  process.stderr.write(
    `tencent-chat-exporter needs Node.js ${required} or later, this is ${process.version}\n`,
  );
  process.exitCode = 2;
}
