/* One connected UDP socket without Python's socket object around its calls.
 *
 * What it spares: arguments read by format, a buffer of 4 KiB made and shrunk for every datagram, the
 * interpreter's lock given away around calls that never wait, an exception where nothing has come.
 * Compiled into k8sdns.authorities.upstream._connected where there is a compiler; nothing needs it:
 * the socket itself has the same methods. Refuses to know what a datagram says.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <sys/socket.h>

#define MAX_OCTETS 65535

typedef struct {
    PyObject_HEAD
    PyObject *socket;
    int fd;
} Connected;

static int
connected_init(Connected *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"sock", NULL};
    PyObject *sock;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O", names, &sock))
        return -1;
    int fd = PyObject_AsFileDescriptor(sock);
    if (fd < 0)
        return -1;
    Py_XSETREF(self->socket, Py_NewRef(sock));
    self->fd = fd;
    return 0;
}

static void
connected_dealloc(Connected *self)
{
    Py_CLEAR(self->socket);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *
connected_send(Connected *self, PyObject *message)
{
    if (!PyBytes_Check(message)) {
        PyErr_SetString(PyExc_TypeError, "send takes bytes");
        return NULL;
    }
    ssize_t sent = send(self->fd, PyBytes_AS_STRING(message), (size_t)PyBytes_GET_SIZE(message),
                        MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromSsize_t(sent);
}

static PyObject *
connected_recv(Connected *self, PyObject *size)
{
    static char buffer[MAX_OCTETS]; /* used under the interpreter's lock alone */
    long most = PyLong_AsLong(size);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    if (most < 1 || most > MAX_OCTETS) {
        PyErr_SetString(PyExc_ValueError, "recv takes 1 to 65535 octets");
        return NULL;
    }
    ssize_t octets = recv(self->fd, buffer, (size_t)most, MSG_DONTWAIT);
    if (octets >= 0)
        return PyBytes_FromStringAndSize(buffer, octets);
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        Py_RETURN_NONE;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *
connected_fileno(Connected *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(self->fd);
}

static PyObject *
connected_close(Connected *self, PyObject *Py_UNUSED(ignored))
{
    self->fd = -1;
    return PyObject_CallMethod(self->socket, "close", NULL);
}

static PyMethodDef connected_methods[] = {
    {"send", (PyCFunction)connected_send, METH_O,
     "send($self, message, /)\n--\n\nSend a datagram; returns its octets, or raises OSError."},
    {"recv", (PyCFunction)connected_recv, METH_O,
     "recv($self, size, /)\n--\n\n"
     "Return the next datagram, cut at `size` octets; None where none came. Raises OSError."},
    {"fileno", (PyCFunction)connected_fileno, METH_NOARGS,
     "fileno($self, /)\n--\n\nReturn the descriptor, -1 once closed."},
    {"close", (PyCFunction)connected_close, METH_NOARGS,
     "close($self, /)\n--\n\nClose the socket."},
    {NULL},
};

static PyTypeObject connected_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "k8sdns.authorities.upstream._connected.Connected",
    .tp_doc = "Connected(sock)\n--\n\nA connected, non-blocking UDP socket.",
    .tp_basicsize = sizeof(Connected),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)connected_init,
    .tp_dealloc = (destructor)connected_dealloc,
    .tp_methods = connected_methods,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_connected",
    .m_doc = "Connected UDP sockets; see k8sdns.authorities.upstream.network.",
    .m_size = -1,
};

PyMODINIT_FUNC
PyInit__connected(void)
{
    PyObject *made = PyModule_Create(&module);
    if (made != NULL && PyModule_AddType(made, &connected_type) < 0)
        Py_CLEAR(made);
    return made;
}
