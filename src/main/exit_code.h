/*
 * What the process says to the shell when it ends: part of the interface, scripts read it.
 * Constants; the values are those of sysexits.h where that has one.
 */
#pragma once

enum exit_code {
	EXIT_CODE_DONE = 0,         /* also when a stop had to cut sessions at its deadline */
	EXIT_CODE_DEMO_FAILED = 1,  /* a check of the demo does not hold */
	EXIT_CODE_USAGE = 64,       /* the command line */
	EXIT_CODE_CONFIG = 65,      /* the content of the configuration */
	EXIT_CODE_NO_FILE = 66,     /* no such configuration file */
	EXIT_CODE_UNAVAILABLE = 69, /* the admin socket does not answer */
	EXIT_CODE_LIMIT = 71,       /* the system has no more of something */
	EXIT_CODE_IO = 74,          /* reading or writing failed */
	EXIT_CODE_TIMEOUT = 75,     /* a wait ended without its event */
	EXIT_CODE_PERMISSION = 77,  /* not permitted */
	EXIT_CODE_REFUSED = 78,     /* refused at run time, such as an address in use */
};
