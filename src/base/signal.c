#include "base/signal.h"

#include "base/clock.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static volatile sig_atomic_t caught;    /* number of the last signal that asks for a stop, 0 when none */
static volatile sig_atomic_t requested; /* um_stop_request() was called */
static volatile sig_atomic_t passed_on; /* um_stop_pass_on() was called */
static double limit_s, deadline;        /* limit_s 0: no time limit */

static void on_signal(int number)
{
    caught = number;
}

static void install(int number, void (*handler)(int), int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void um_signal_install(void)
{
    install(SIGINT, on_signal, SA_RESTART | (int)SA_RESETHAND); /* the default action, which ends us, is back for the second */
    install(SIGTERM, on_signal, SA_RESTART);
    install(SIGUSR1, on_signal, SA_RESTART);
    install(SIGPIPE, SIG_IGN, 0);
    install(SIGXFSZ, SIG_IGN, 0);
}

void um_stop_after(double seconds)
{
    limit_s = seconds > 0 ? seconds : 0;
    deadline = um_now() + limit_s;
}

static bool limit_reached(void)
{
    return limit_s > 0 && um_now() >= deadline;
}

bool um_stop_requested(void)
{
    return caught != 0 || requested != 0 || passed_on != 0 || limit_reached();
}

um_status um_stop_check(const char *afterwards)
{
    return um_stop_requested() ? um_fail(UM_E_STOPPED, "stopped by %s, %s", um_stop_reason(), afterwards) : UM_OK;
}

void um_stop_clear(void)
{
    caught = requested = passed_on = 0;
    limit_s = 0;
}

void um_stop_request(void)
{
    requested = 1;
}

void um_stop_pass_on(void)
{
    passed_on = 1;
}

static const char *signal_name(int number)
{
    switch (number) {
    case SIGINT: return "signal SIGINT";
    case SIGTERM: return "signal SIGTERM";
    default: return "signal SIGUSR1";
    }
}

const char *um_stop_reason(void)
{
    static char text[64];
    if (caught)
        return signal_name(caught);
    if (requested)
        return "request of the program";
    if (limit_reached()) {
        snprintf(text, sizeof text, "time limit of %g s", limit_s);
        return text;
    }
    return passed_on ? "another rank" : "";
}
