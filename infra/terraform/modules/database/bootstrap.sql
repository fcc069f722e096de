-- Makes a login and its database; run once per login by the administrator, and again to give it a new
-- password. psql reads the variables:
--   psql "$ADMINISTRATOR_URL" -v login=mendloop -v database=mendloop -v password="$PASSWORD" -f bootstrap.sql
\set ON_ERROR_STOP on

SELECT format('CREATE ROLE %I LOGIN', :'login')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'login') \gexec

-- No superuser, no replication, no making of databases and roles; a bounded number of connections.
ALTER ROLE :"login" WITH LOGIN NOCREATEDB NOCREATEROLE CONNECTION LIMIT 50 PASSWORD :'password';

-- The administrator of RDS is no superuser: it may give a database to a role that it is a member of.
GRANT :"login" TO CURRENT_USER;

SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'login')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec

-- Nobody else gets in.
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"database" TO :"login";
