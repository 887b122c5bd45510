// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Which processors a thread runs on.
//
// Next: addon.c.
#include <errno.h>
#include <sched.h>
#include "napi.h"

static bool add_cpu(cpu_set_t *cpus, double cpu)
{
	if (!(cpu >= 0 && cpu < CPU_SETSIZE))
		return false;
	CPU_SET((int)cpu, cpus);
	return true;
}

// pin(cpu) or pin([cpu, ...]): this thread runs there and nowhere else. 0 or -errno.
static napi_value Pin(napi_env env, napi_callback_info info)
{
	size_t argc = 1;
	napi_value argv[1], element;
	cpu_set_t cpus;
	bool is_list = false, valid;
	uint32_t count = 0;

	napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
	CPU_ZERO(&cpus);
	if (argc)
		napi_is_array(env, argv[0], &is_list);
	if (is_list) {
		napi_get_array_length(env, argv[0], &count);
		valid = count > 0;
		for (uint32_t i = 0; i < count && valid; i++) {
			napi_get_element(env, argv[0], i, &element);
			valid = add_cpu(&cpus, number_arg(env, element));
		}
	} else {
		valid = argc && add_cpu(&cpus, number_arg(env, argv[0]));
	}
	if (!valid)
		return number(env, -EINVAL);
	return number(env, sched_setaffinity(0, sizeof(cpus), &cpus) ? -errno : 0);
}

// affinity(): the processors that this thread may run on.
static napi_value Affinity(napi_env env, napi_callback_info info)
{
	cpu_set_t cpus;
	napi_value list;
	uint32_t count = 0;

	(void)info;
	napi_create_array(env, &list);
	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return list;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &cpus))
			napi_set_element(env, list, count++, number(env, cpu));
	}
	return list;
}

void cpus_export(napi_env env, napi_value exports)
{
	add(env, exports, "pin", Pin, NULL);
	add(env, exports, "affinity", Affinity, NULL);
}
