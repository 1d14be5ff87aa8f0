/* UDP without Python's socket objects: receive, have it answered, send.
 *
 * The same as `DatagramPort.doRead` in k8sdns/server/datagram.py, and held to it by the same
 * tests. What it spares: a buffer and a tuple of text a datagram, and reading that text again to
 * send the reply. Compiled into k8sdns.server._datagrams where there is a compiler; nothing needs
 * it. Refuses to know what a datagram says.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* Senders whose addresses are remembered as Python has them; a power of two. Each has one place,
 * and whoever comes later takes it: a flood of addresses costs no memory. */
#define SENDERS 1024

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} Address;

typedef struct {
    Address address;
    PyObject *tuple; /* NULL, or what Python's recvfrom returns for it */
} Sender;

typedef struct {
    PyObject_HEAD
    int fd; /* -1 once closed */
    Py_ssize_t lost; /* replies that could not be sent */
    Py_ssize_t octets;
    char *buffer;
    Sender senders[SENDERS];
} Datagrams;

static int
datagrams_init(Datagrams *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd", "octets", NULL};
    int fd;
    Py_ssize_t octets;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "in", names, &fd, &octets))
        return -1;
    if (fd < 0 || octets < 1) {
        PyErr_SetString(PyExc_ValueError, "fd and octets must be positive");
        return -1;
    }
    char *buffer = PyMem_Malloc((size_t)octets);
    if (buffer == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    PyMem_Free(self->buffer);
    self->fd = fd;
    self->octets = octets;
    self->buffer = buffer;
    return 0;
}

static void
datagrams_dealloc(Datagrams *self)
{
    for (int i = 0; i < SENDERS; i++)
        Py_CLEAR(self->senders[i].tuple);
    PyMem_Free(self->buffer);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* Return a new tuple as the socket module has it: (host, port), with flow and scope for IPv6. */
static PyObject *
new_tuple(const Address *from)
{
    char text[INET6_ADDRSTRLEN];
    if (from->any.sa_family == AF_INET) {
        if (inet_ntop(AF_INET, &from->v4.sin_addr, text, sizeof text) == NULL)
            return PyErr_SetFromErrno(PyExc_OSError);
        return Py_BuildValue("si", text, (int)ntohs(from->v4.sin_port));
    }
    if (inet_ntop(AF_INET6, &from->v6.sin6_addr, text, sizeof text) == NULL)
        return PyErr_SetFromErrno(PyExc_OSError);
    return Py_BuildValue("siII", text, (int)ntohs(from->v6.sin6_port),
                         (unsigned int)ntohl(from->v6.sin6_flowinfo),
                         (unsigned int)from->v6.sin6_scope_id);
}

static size_t
place_of(const unsigned char *octets, size_t count)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ octets[i]) * 16777619u;
    return (hash ^ hash >> 16) & (SENDERS - 1);
}

/* Return a new reference to the tuple of an address of `size` octets. */
static PyObject *
sender_of(Datagrams *self, const Address *from, socklen_t size)
{
    Sender *sender = &self->senders[place_of((const unsigned char *)from, size)];
    if (sender->tuple == NULL || memcmp(&sender->address, from, size) != 0) {
        PyObject *tuple = new_tuple(from);
        if (tuple == NULL)
            return NULL;
        memset(&sender->address, 0, sizeof sender->address);
        memcpy(&sender->address, from, size);
        Py_XSETREF(sender->tuple, tuple);
    }
    return Py_NewRef(sender->tuple);
}

/* Answer one datagram; -1 with an exception set if `respond` or `later` raised. */
static int
answer(Datagrams *self, PyObject *respond, PyObject *local, PyObject *later, Py_ssize_t octets,
       const Address *from, socklen_t size)
{
    PyObject *sender = sender_of(self, from, size);
    if (sender == NULL)
        return -1;
    PyObject *message = PyBytes_FromStringAndSize(self->buffer, octets);
    if (message == NULL) {
        Py_DECREF(sender);
        return -1;
    }
    PyObject *arguments[] = {message, sender, local};
    PyObject *reply = PyObject_Vectorcall(respond, arguments, 3, NULL);
    Py_DECREF(message);
    int status = reply == NULL ? -1 : 0;
    if (reply != NULL && PyBytes_Check(reply)) {
        if (sendto(self->fd, PyBytes_AS_STRING(reply), (size_t)PyBytes_GET_SIZE(reply), 0,
                   &from->any, size) < 0)
            self->lost++;
    } else if (reply != NULL && reply != Py_None) {
        PyObject *waiting[] = {reply, sender};
        PyObject *result = PyObject_Vectorcall(later, waiting, 2, NULL);
        if (result == NULL)
            status = -1;
        Py_XDECREF(result);
    }
    Py_XDECREF(reply);
    Py_DECREF(sender);
    return status;
}

PyDoc_STRVAR(drain_doc,
"drain($self, respond, local, later, most, /)\n--\n\n"
"Answer what has arrived, at most `most` datagrams; return how many there were.\n\n"
"`respond(message, sender, local)` returns octets, None for silence, or something to wait for,\n"
"which `later(something, sender)` is given. What they raise is raised here, behind the datagram\n"
"in question: call again for the rest.");

static PyObject *
datagrams_drain(Datagrams *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "drain takes respond, local, later and most");
        return NULL;
    }
    long most = PyLong_AsLong(args[3]);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    for (long taken = 0; taken < most; taken++) {
        Address from;
        socklen_t size = sizeof from;
        memset(&from, 0, sizeof from);
        /* Never waits, so the interpreter's lock is kept. */
        ssize_t octets = recvfrom(self->fd, self->buffer, (size_t)self->octets, MSG_DONTWAIT,
                                  &from.any, &size);
        if (octets < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EBADF)
                return PyLong_FromLong(taken);
            continue; /* an ICMP error of an earlier reply; it consumed nothing */
        }
        if (size > sizeof from || (from.any.sa_family != AF_INET && from.any.sa_family != AF_INET6))
            continue;
        if (answer(self, args[0], args[1], args[2], octets, &from, size) < 0)
            return NULL;
    }
    return PyLong_FromLong(most);
}

/* Read the address that `new_tuple` made a tuple of; 0 if it is none. */
static socklen_t
address_of(PyObject *tuple, Address *to)
{
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) < 2)
        return 0;
    const char *host = PyUnicode_AsUTF8(PyTuple_GET_ITEM(tuple, 0));
    long port = PyLong_AsLong(PyTuple_GET_ITEM(tuple, 1));
    if (host == NULL || port < 0 || port > 0xFFFF)
        return 0;
    memset(to, 0, sizeof *to);
    if (inet_pton(AF_INET, host, &to->v4.sin_addr) == 1) {
        to->v4.sin_family = AF_INET;
        to->v4.sin_port = htons((uint16_t)port);
        return sizeof to->v4;
    }
    if (PyTuple_GET_SIZE(tuple) != 4 || inet_pton(AF_INET6, host, &to->v6.sin6_addr) != 1)
        return 0;
    to->v6.sin6_family = AF_INET6;
    to->v6.sin6_port = htons((uint16_t)port);
    to->v6.sin6_flowinfo = htonl((uint32_t)PyLong_AsUnsignedLong(PyTuple_GET_ITEM(tuple, 2)));
    to->v6.sin6_scope_id = (uint32_t)PyLong_AsUnsignedLong(PyTuple_GET_ITEM(tuple, 3));
    return sizeof to->v6;
}

PyDoc_STRVAR(send_reply_doc,
"send_reply($self, reply, pending, /)\n--\n\n"
"Send the reply to the question of `pending`, which waited; None for silence.");

static PyObject *
datagrams_send_reply(Datagrams *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "send_reply takes reply and pending");
        return NULL;
    }
    if (!PyBytes_Check(args[0]))
        Py_RETURN_NONE;
    PyObject *question = PyObject_GetAttrString(args[1], "question");
    if (question == NULL)
        return NULL;
    PyObject *tuple = PyObject_GetAttrString(question, "address");
    Py_DECREF(question);
    if (tuple == NULL)
        return NULL;
    Address to;
    socklen_t size = address_of(tuple, &to);
    Py_DECREF(tuple);
    if (PyErr_Occurred())
        return NULL;
    if (size == 0 || sendto(self->fd, PyBytes_AS_STRING(args[0]),
                            (size_t)PyBytes_GET_SIZE(args[0]), 0, &to.any, size) < 0)
        self->lost++;
    Py_RETURN_NONE;
}

static PyObject *
datagrams_take_lost(Datagrams *self, PyObject *Py_UNUSED(ignored))
{
    Py_ssize_t lost = self->lost;
    self->lost = 0;
    return PyLong_FromSsize_t(lost);
}

static PyObject *
datagrams_close(Datagrams *self, PyObject *Py_UNUSED(ignored))
{
    self->fd = -1;
    Py_RETURN_NONE;
}

static PyMethodDef datagrams_methods[] = {
    {"drain", (PyCFunction)(void (*)(void))datagrams_drain, METH_FASTCALL, drain_doc},
    {"send_reply", (PyCFunction)(void (*)(void))datagrams_send_reply, METH_FASTCALL,
     send_reply_doc},
    {"take_lost", (PyCFunction)datagrams_take_lost, METH_NOARGS,
     "take_lost($self, /)\n--\n\nReturn how many replies could not be sent since last asked."},
    {"close", (PyCFunction)datagrams_close, METH_NOARGS,
     "close($self, /)\n--\n\nTouch the descriptor no more: its number may become another's."},
    {NULL},
};

static PyTypeObject datagrams_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "k8sdns.server._datagrams.Datagrams",
    .tp_doc = "Datagrams(fd, octets)\n--\n\nThe datagrams of one non-blocking socket.",
    .tp_basicsize = sizeof(Datagrams),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)datagrams_init,
    .tp_dealloc = (destructor)datagrams_dealloc,
    .tp_methods = datagrams_methods,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_datagrams",
    .m_doc = "UDP without Python's socket objects; see k8sdns.server.datagram.",
    .m_size = -1,
};

PyMODINIT_FUNC
PyInit__datagrams(void)
{
    PyObject *made = PyModule_Create(&module);
    if (made != NULL && PyModule_AddType(made, &datagrams_type) < 0)
        Py_CLEAR(made);
    return made;
}
