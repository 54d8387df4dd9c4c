/** A: the least a Koa receiver can do. It parses the body, routes, answers a constant, and loses everything. */
import Router from '@koa/router';
import Koa from 'koa';
import bodyParser from 'koa-bodyparser';

const router = new Router();
router.post('/', ctx => {
  ctx.body = { ActionStatus: 'OK', ErrorInfo: '', ErrorCode: 0 };
});

const server = new Koa()
  .use(bodyParser())
  .use(router.routes())
  .use(router.allowedMethods())
  .listen(0, '127.0.0.1', () => {
    const address = server.address();
    if (address !== null && typeof address === 'object') console.log(JSON.stringify({ port: address.port }));
  });
