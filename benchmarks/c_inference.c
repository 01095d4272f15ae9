/* Times one policy in several forms, in turns: generated C (a shared library) and LiteRT's C API.

       c_inference OBSERVATIONS SIZE ROUNDS NANOSECONDS libLiteRt.so FORM...

   OBSERVATIONS is a file of float32, SIZE of them an observation. A FORM that ends in .so is a
   compiled policy, any other a .tflite file. Prints, for each round, each form's nanoseconds an
   action; and first, for each form, its actions on all observations. Buffers of LiteRT are written
   and read in place, without locks: the fastest way that its API knows. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 16, READ = 0, WRITE = 1, CPU = 1 };

typedef void *Handle;
typedef int Status;

/* LiteRT 2.3's functions, under their names; handles are pointers there, too. */
static struct {
    Status (*CreateEnvironment)(int, const void *, Handle *);
    Status (*CreateModelFromFile)(Handle, const char *, Handle *);
    Status (*CreateOptions)(Handle *);
    Status (*SetOptionsHardwareAccelerators)(Handle, int);
    Status (*CreateCompiledModel)(Handle, Handle, Handle, Handle *);
    Status (*GetModelSignature)(Handle, size_t, Handle *);
    Status (*GetNumSignatureOutputs)(Handle, size_t *);
    Status (*GetSignatureOutputName)(Handle, size_t, const char **);
    Status (*GetSignatureInputTensorByIndex)(Handle, size_t, Handle *);
    Status (*GetSignatureOutputTensorByIndex)(Handle, size_t, Handle *);
    Status (*GetRankedTensorType)(Handle, void *);
    Status (*GetCompiledModelInputBufferRequirements)(Handle, size_t, size_t, Handle *);
    Status (*GetCompiledModelOutputBufferRequirements)(Handle, size_t, size_t, Handle *);
    Status (*CreateManagedTensorBufferFromRequirements)(Handle, const void *, Handle, Handle *);
    Status (*GetTensorBufferHostMemory)(Handle, void **);
    Status (*RunCompiledModel)(Handle, size_t, size_t, Handle *, size_t, Handle *);
} litert;

typedef struct {
    const char *path;
    void (*act)(const float *, float *); /* of a compiled policy */
    Handle model, input, outputs[2];     /* of LiteRT */
    float *given;
    void *action;
    int32_t element; /* 1 float32, 2 int32, 4 int64: LiteRT's numbers of dtypes */
    size_t count;
} Form;

static void must(Status status, const char *what)
{
    if (status != 0) {
        fprintf(stderr, "LiteRt%s failed with the status %d\n", what, status);
        exit(1);
    }
}

static void open_litert(const char *path)
{
    void *held = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (held == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
#define FIND(name) \
    if ((*(void **)&litert.name = dlsym(held, "LiteRt" #name)) == NULL) must(-1, #name)
    FIND(CreateEnvironment);
    FIND(CreateModelFromFile);
    FIND(CreateOptions);
    FIND(SetOptionsHardwareAccelerators);
    FIND(CreateCompiledModel);
    FIND(GetModelSignature);
    FIND(GetNumSignatureOutputs);
    FIND(GetSignatureOutputName);
    FIND(GetSignatureInputTensorByIndex);
    FIND(GetSignatureOutputTensorByIndex);
    FIND(GetRankedTensorType);
    FIND(GetCompiledModelInputBufferRequirements);
    FIND(GetCompiledModelOutputBufferRequirements);
    FIND(CreateManagedTensorBufferFromRequirements);
    FIND(GetTensorBufferHostMemory);
    FIND(RunCompiledModel);
}

#define MUST(name, ...) must(litert.name(__VA_ARGS__), #name)

static void open_model(Form *form, Handle environment)
{
    Handle model, options, signature, tensor, requirements;
    int32_t type[64] = {0}; /* a dtype and a layout, of which only LiteRT knows more */
    MUST(CreateModelFromFile, environment, form->path, &model);
    MUST(CreateOptions, &options);
    MUST(SetOptionsHardwareAccelerators, options, CPU);
    MUST(CreateCompiledModel, environment, model, options, &form->model);
    MUST(GetModelSignature, model, 0, &signature);
    MUST(GetSignatureInputTensorByIndex, signature, 0, &tensor);
    MUST(GetRankedTensorType, tensor, type);
    MUST(GetCompiledModelInputBufferRequirements, form->model, 0, 0, &requirements);
    MUST(CreateManagedTensorBufferFromRequirements, environment, type, requirements, &form->input);
    MUST(GetTensorBufferHostMemory, form->input, (void **)&form->given);
    MUST(GetNumSignatureOutputs, signature, &form->count);
    for (size_t i = 0; i < form->count; i++) {
        const char *name;
        MUST(GetSignatureOutputName, signature, i, &name);
        MUST(GetSignatureOutputTensorByIndex, signature, i, &tensor);
        MUST(GetRankedTensorType, tensor, type);
        MUST(GetCompiledModelOutputBufferRequirements, form->model, 0, i, &requirements);
        MUST(CreateManagedTensorBufferFromRequirements, environment, type, requirements,
             &form->outputs[i]);
        if (strcmp(name, "action") == 0) {
            form->element = type[0];
            MUST(GetTensorBufferHostMemory, form->outputs[i], &form->action);
        }
    }
}

static float act(Form *form, const float *observation, size_t size)
{
    float action[1024];
    if (form->act != NULL) {
        form->act(observation, action);
        return action[0];
    }
    memcpy(form->given, observation, size * sizeof(float));
    MUST(RunCompiledModel, form->model, 0, 1, &form->input, form->count, form->outputs);
    return form->element == 1   ? *(float *)form->action
           : form->element == 4 ? (float)*(int64_t *)form->action
                                : (float)*(int32_t *)form->action;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return 1e9 * (double)time.tv_sec + (double)time.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc < 7 || argc > 6 + MOST) {
        fprintf(stderr, "OBSERVATIONS SIZE ROUNDS NANOSECONDS libLiteRt.so FORM...\n");
        return 2;
    }
    const size_t size = strtoul(argv[2], NULL, 10);
    const int rounds = atoi(argv[3]), forms = argc - 6;
    const double budget = atof(argv[4]);
    FILE *file = fopen(argv[1], "rb");
    float *x = malloc(size * 4096 * sizeof(float));
    if (file == NULL || x == NULL) return 2;
    const size_t rows = fread(x, size * sizeof(float), 4096, file);
    fclose(file);
    Handle environment;
    open_litert(argv[5]);
    MUST(CreateEnvironment, 0, NULL, &environment);
    Form form[MOST] = {{0}};
    for (int f = 0; f < forms; f++) {
        form[f].path = argv[6 + f];
        const size_t length = strlen(form[f].path);
        if (length > 3 && strcmp(form[f].path + length - 3, ".so") == 0) {
            void *held = dlopen(form[f].path, RTLD_NOW | RTLD_LOCAL);
            if (held != NULL) *(void **)&form[f].act = dlsym(held, "policy_action");
            if (form[f].act == NULL) {
                fprintf(stderr, "%s\n", dlerror());
                return 1;
            }
        } else {
            open_model(&form[f], environment);
        }
        printf("%s", form[f].path);
        for (size_t row = 0; row < rows; row++) printf(" %.9g", act(&form[f], x + row * size, size));
        printf("\n");
    }
    volatile float sink = 0;
    for (int round = 0; round < rounds; round++) {
        for (int f = 0; f < forms; f++) {
            long calls = 0;
            double start = now(), spent = 0;
            while (spent < budget) {
                for (size_t row = 0; row < rows; row++) sink = act(&form[f], x + row * size, size);
                calls += (long)rows;
                spent = now() - start;
            }
            printf("%s %.4g\n", form[f].path, spent / (double)calls);
        }
    }
    (void)sink;
    return 0;
}
