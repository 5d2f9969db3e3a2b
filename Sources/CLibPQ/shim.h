// libpq's header for PostgresClient. No logic lives here.
#pragma once
#include <libpq-fe.h>
