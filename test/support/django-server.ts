import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { launch } from './daemon.js';
import { DJANGO_PYTHON } from './django.js';
import { freePort } from './free-port.js';
import { makeTempDir } from './process-records.js';

/** A Django project with djangorestframework-simplejwt in front of an SQLite file. */
export interface Django {
  readonly url: string;
  readonly dir: string;
  /** `python manage.py …`; what it prints. */
  manage(...args: string[]): string;
  stop(): Promise<void>;
}

export interface DjangoOptions {
  signingKey: string;
  /** Python that makes users; it sees what django.contrib.auth's shell would. */
  fixture: string;
}

const settings = ({ signingKey }: DjangoOptions): string => `
from datetime import timedelta
from pathlib import Path
BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = 'of the sessions of this project'
DEBUG = False
ALLOWED_HOSTS = ['127.0.0.1']
ROOT_URLCONF = 'project.urls'
USE_TZ = True
DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': BASE_DIR / 'db.sqlite3', 'OPTIONS': {'timeout': 20}}}
MIDDLEWARE = ['django.middleware.common.CommonMiddleware']
INSTALLED_APPS = [
    'django.contrib.auth',
    'django.contrib.contenttypes',
    'rest_framework',
    'rest_framework.authtoken',
    'rest_framework_simplejwt',
    'rest_framework_simplejwt.token_blacklist',
    'accounts',
]
# Tables at once, instead of by the history of each application.
MIGRATION_MODULES = {app: None for app in ['auth', 'contenttypes', 'authtoken', 'token_blacklist', 'accounts']}
PASSWORD_HASHERS = ['django.contrib.auth.hashers.' + name for name in [
    'PBKDF2PasswordHasher', 'PBKDF2SHA1PasswordHasher', 'Argon2PasswordHasher',
    'BCryptSHA256PasswordHasher', 'BCryptPasswordHasher',
]]
REST_FRAMEWORK = {
    'DEFAULT_AUTHENTICATION_CLASSES': [
        'rest_framework_simplejwt.authentication.JWTAuthentication',
        'rest_framework.authentication.TokenAuthentication',
    ],
}
SIMPLE_JWT = {
    'SIGNING_KEY': ${JSON.stringify(signingKey)},
    'ACCESS_TOKEN_LIFETIME': timedelta(minutes=15),
    'REFRESH_TOKEN_LIFETIME': timedelta(days=7),
    'ROTATE_REFRESH_TOKENS': True,
    'BLACKLIST_AFTER_ROTATION': True,
}
LOGGING_CONFIG = None
`;

const MODELS = `
from django.conf import settings
from django.db import models

class Profile(models.Model):
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    role = models.CharField(max_length=40, blank=True)
    phone = models.CharField(max_length=20, blank=True)
    is_verified = models.BooleanField(default=False)
`;

/** SimpleJWT's own three, a route that asks for a token, and Cosmo's way to end all of them. */
const URLS = `
from django.urls import path
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView, TokenVerifyView

class RevokeAll(APIView):
    permission_classes = [IsAuthenticated]
    def post(self, request):
        for token in OutstandingToken.objects.filter(user=request.user):
            BlacklistedToken.objects.get_or_create(token=token)
        return Response({'message': 'All tokens revoked successfully'})

class Me(APIView):
    permission_classes = [IsAuthenticated]
    def get(self, request):
        return Response({'id': request.user.id, 'username': request.user.username})

urlpatterns = [
    path('api/token/', TokenObtainPairView.as_view()),
    path('api/token/refresh/', TokenRefreshView.as_view()),
    path('api/token/verify/', TokenVerifyView.as_view()),
    path('api/token/revoke-all/', RevokeAll.as_view()),
    path('api/me/', Me.as_view()),
]
`;

const MANAGE = `
import os, sys
os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'project.settings')
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
`;

/** Makes the tables and the users, then answers on the port. */
const serve = (fixture: string): string => `
import os, sys
os.environ['DJANGO_SETTINGS_MODULE'] = 'project.settings'
import django
django.setup()
from django.core.management import call_command
call_command('migrate', run_syncdb=True, verbosity=0)
from datetime import datetime, timedelta, timezone
from django.contrib.auth import hashers
from django.contrib.auth.models import Group, Permission, User
from rest_framework.authtoken.models import Token
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken
from accounts.models import Profile
hashers.PBKDF2PasswordHasher.iterations = 1000
hashers.Argon2PasswordHasher.memory_cost = 1024
hashers.BCryptSHA256PasswordHasher.rounds = 4
${fixture}
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from django.core.wsgi import get_wsgi_application
class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass
make_server('127.0.0.1', int(sys.argv[1]), get_wsgi_application(), Server, Quiet).serve_forever()
`;

export async function startDjango(t: Pick<Test, 'teardown'>, options: DjangoOptions): Promise<Django> {
  const dir = makeTempDir('django');
  for (const app of ['project', 'accounts']) mkdirSync(join(dir, app));
  const files = {
    'project/__init__.py': '',
    'project/settings.py': settings(options),
    'accounts/__init__.py': '',
    'accounts/models.py': MODELS,
    'project/urls.py': URLS,
    'manage.py': MANAGE,
    'serve.py': serve(options.fixture),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  const { PATH, HOME } = process.env;
  const env = { PATH, HOME, PYTHONDONTWRITEBYTECODE: '1' };
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const daemon = await launch(DJANGO_PYTHON, ['serve.py', String(port)], {
    cwd: dir,
    env,
    seconds: 30,
    ready: () => answers(`${url}/api/me/`),
  });
  const stop = async () => {
    await daemon.stop('SIGTERM');
  };
  t.teardown(stop);
  return {
    url,
    dir,
    stop,
    manage(...args) {
      const result = spawnSync(DJANGO_PYTHON, ['manage.py', ...args], {
        cwd: dir,
        env,
        encoding: 'utf8',
        timeout: 60_000,
      });
      if (result.status !== 0) throw new Error(`manage.py ${args[0]}: ${result.error ?? result.stderr}`);
      return result.stdout;
    },
  };
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.status === 401;
  } catch {
    return false;
  }
}
