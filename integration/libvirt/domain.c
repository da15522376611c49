/*
 * libsvirt's handles of libvirt's domains, by model and uuid. They begin with gen or reserve and end with
 * release; one that is missing is made from the definition, which carries the live labels.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include "shim.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct known {
    struct known *next;
    const struct model *model;
    unsigned char uuid[16];
    svirt_domain *domain;
    char *mount_options; /* asked for in a child, where it cannot be made */
};

static struct known *all;
/* Taken over a fork, so that the child, which has one thread, finds it free. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }

__attribute__((constructor)) static void survive_forks(void)
{
    pthread_atfork(before_fork, after_fork, after_fork);
}

int reported(const struct model *model, int status, svirt_error **error)
{
    enum { FROM_SECURITY = 24, OPERATION_FAILED = 9 };
    if (status < 0)
        libvirt.report(FROM_SECURITY, OPERATION_FAILED, "libsvirt", "libsvirt", 0, "libsvirt, %s: %s", model->name,
                       error && *error ? svirt_error_message(*error) : strerror(-status));
    if (error)
        svirt_error_free(*error);
    return status < 0 ? -1 : 0;
}

static struct known **find(const struct model *model, const vir_domain *definition)
{
    struct known **at = &all;
    while (*at && ((*at)->model != model || memcmp((*at)->uuid, domain_uuid(definition), 16)))
        at = &(*at)->next;
    return at;
}

static void put_escaped(FILE *out, const char *element, const char *text)
{
    if (!text)
        return;
    fprintf(out, "<%s>", element);
    for (; *text; text++) {
        if (strchr("<>&'\"", *text))
            fprintf(out, "&#%d;", *text);
        else
            fputc(*text, out);
    }
    fprintf(out, "</%s>", element);
}

/*
 * The domain's XML with the seclabel of this model alone, as it is now (libvirt leaves out implicit ones). After
 * libvirt was started again, a guest whose owner nobody has asked for has none.
 */
static char *domain_xml(const struct model *model, vir_domain *definition)
{
    static const char *const types[] = { "dynamic", "none", "dynamic", "static" };
    const vir_seclabel *label = libvirt.seclabel(definition, model->name);
    char *from = libvirt.domain_format(definition, NULL, 0), *to = NULL;
    /* Behind the last of these nothing is a user's own text. */
    char *end = NULL, *tail = from;
    while (tail && (tail = strstr(tail, "\n  </devices>\n")))
        end = tail += strlen("\n  </devices>\n");
    size_t size;
    FILE *out = end ? open_memstream(&to, &size) : NULL;
    if (out) {
        fwrite(from, 1, (size_t)(end - from), out);
        const bool none = label ? label->type == VIR_SECLABEL_NONE : model != &models[DAC];
        if (label || none)
            fprintf(out, "<seclabel model='%s' type='%s' relabel='%s'>", model->name,
                    none ? "none" : types[label->type & 3], !none && label->relabel ? "yes" : "no");
        if (label && !none) {
            put_escaped(out, "label", label->label);
            put_escaped(out, "imagelabel", label->imagelabel);
            if (label->type != VIR_SECLABEL_STATIC)
                put_escaped(out, "baselabel", label->baselabel);
        }
        if (label || none)
            fputs("</seclabel>\n", out);
        while (!strncmp(end, "  <seclabel ", 12)) {
            char *line = strchr(end, '\n'), *close = strstr(end, "  </seclabel>\n");
            bool alone = line && line - end > 1 && line[-1] == '>' && line[-2] == '/';
            end = alone || !close ? line + 1 : close + strlen("  </seclabel>\n");
        }
        fputs(end, out);
        if (fclose(out)) {
            free(to);
            to = NULL;
        }
    }
    free(from);
    return to;
}

svirt_domain *domain_new(const struct model *model, vir_domain *definition)
{
    svirt_domain *domain = NULL;
    svirt_error *error = NULL;
    char *xml = domain_xml(model, definition);
    int status = xml ? svirt_domain_from_xml(xml, &domain, &error) : -EINVAL;
    free(xml);
    struct known *known = status ? NULL : calloc(1, sizeof(*known));
    if (reported(model, !status && !known ? -ENOMEM : status, &error)) {
        svirt_domain_free(domain);
        return NULL;
    }
    known->model = model;
    memcpy(known->uuid, domain_uuid(definition), 16);
    known->domain = domain;
    domain_forget(model, definition);
    pthread_mutex_lock(&lock);
    known->next = all;
    all = known;
    pthread_mutex_unlock(&lock);
    return domain;
}

svirt_domain *domain_known(const struct model *model, const vir_domain *definition)
{
    pthread_mutex_lock(&lock);
    struct known *known = *find(model, definition);
    pthread_mutex_unlock(&lock);
    return known ? known->domain : NULL;
}

svirt_domain *domain_of(const struct model *model, vir_domain *definition)
{
    svirt_domain *known = domain_known(model, definition);
    return known ? known : domain_new(model, definition);
}

void domain_keep_mount_options(const struct model *model, const vir_domain *definition)
{
    svirt_domain *domain = domain_known(model, definition);
    char *made = domain ? svirt_domain_security_mount_options(model->manager, domain) : NULL;
    char *options = made ? strdup(made) : NULL;
    svirt_string_free(made);
    pthread_mutex_lock(&lock);
    struct known *known = *find(model, definition);
    if (known) {
        free(known->mount_options);
        known->mount_options = options;
    } else {
        free(options);
    }
    pthread_mutex_unlock(&lock);
}

char *domain_mount_options(const struct model *model, const vir_domain *definition)
{
    pthread_mutex_lock(&lock);
    struct known *known = *find(model, definition);
    char *options = known && known->mount_options ? strdup(known->mount_options) : NULL;
    pthread_mutex_unlock(&lock);
    return options;
}

void domain_forget(const struct model *model, const vir_domain *definition)
{
    pthread_mutex_lock(&lock);
    struct known **at = find(model, definition), *known = *at;
    if (known)
        *at = known->next;
    pthread_mutex_unlock(&lock);
    if (known) {
        svirt_domain_free(known->domain);
        free(known->mount_options);
        free(known);
    }
}

bool confined(const struct model *model, vir_domain *definition)
{
    const vir_seclabel *label = libvirt.seclabel(definition, model->name);
    return label ? label->relabel && label->type != VIR_SECLABEL_NONE : model == &models[DAC];
}
