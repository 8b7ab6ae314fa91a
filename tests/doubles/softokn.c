/* NSS softokn as a PKCS#11 module, except that C_Initialize passes the arguments that softokn needs and that
 * no portable program can pass. MODULE and ARGUMENTS are set on the compiler's command line: see
 * scripts/with-tokens. */
#include <dlfcn.h>
#include <stddef.h>

typedef unsigned long CK_RV;

/* CK_C_INITIALIZE_ARGS with the member that NSS uses instead of pReserved. */
struct arguments {
    void *create, *destroy, *lock, *unlock;
    unsigned long flags;
    const char *library_parameters;
    void *reserved;
};

/* CK_FUNCTION_LIST of PKCS#11 2.40: C_Initialize comes first. */
struct function_list {
    unsigned char version[sizeof(void *)];
    CK_RV (*functions[68])(void *);
};

static struct function_list list;
static CK_RV (*initialize_softokn)(void *);

static CK_RV initialize(void *unused) {
    (void)unused;
    struct arguments arguments = {.flags = 2 /* CKF_OS_LOCKING_OK */, .library_parameters = ARGUMENTS};
    return initialize_softokn(&arguments);
}

CK_RV C_GetFunctionList(struct function_list **out) {
    void *softokn = dlopen(MODULE, RTLD_NOW);
    if (softokn == NULL) {
        return 5; /* CKR_GENERAL_ERROR */
    }
    CK_RV (*get)(struct function_list **) =
        (CK_RV(*)(struct function_list **))dlsym(softokn, "C_GetFunctionList");
    struct function_list *theirs = NULL;
    CK_RV result = get == NULL ? 5 : get(&theirs);
    if (result == 0) {
        list = *theirs;
        initialize_softokn = list.functions[0];
        list.functions[0] = initialize;
        *out = &list;
    }
    return result;
}
