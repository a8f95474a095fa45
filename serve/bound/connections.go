// Package bound keeps clients from holding what a server has only so much of: connections (connections.go) and the time
// in which a body must come (body.go).
package bound

import (
	"container/list"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// Connections bounds how many connections are open at once, over all listeners that share it. Where no more are
// allowed, a new one takes the place of the one that has been idle for longest. If all are at work, it is closed at
// once: a client that learns so can go elsewhere, one that waits in the kernel's queue cannot.
type Connections struct {
	limit int

	mu      sync.Mutex
	open    int
	idle    list.List // of *conn, the longest idle first
	evicted int64
	refused int64
}

// NewConnections allows so many, but no more than the process's file descriptors allow: half of them if there are
// few, all but 1024 if there are many. The rest is for models, logs and listeners.
func NewConnections(limit int) *Connections {
	if files := descriptors(); files > 0 {
		limit = min(limit, max(files/2, files-1024))
	}
	return &Connections{limit: max(limit, 1)}
}

// Counts returns how many connections are open, how many may be, and how many were closed so far because another one
// came: idle ones, and new ones.
func (c *Connections) Counts() (open, limit int, evicted, refused int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open, c.limit, c.evicted, c.refused
}

// Listen returns l whose connections count.
func (c *Connections) Listen(l net.Listener) net.Listener { return &listener{l, c} }

// State is for http.Server's ConnState: by it the connections are known that wait for a request. Those of a server that
// does not call it are always at work.
func (c *Connections) State(nc net.Conn, state http.ConnState) {
	for {
		switch inner := nc.(type) {
		case *conn:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.rest(inner, state == http.StateNew || state == http.StateIdle)
			return
		case interface{ NetConn() net.Conn }: // TLS
			nc = inner.NetConn()
		default:
			return
		}
	}
}

// rest puts a connection at the end of the idle ones, or takes it out of them; with mu held.
func (c *Connections) rest(of *conn, idle bool) {
	if of.idle != nil {
		c.idle.Remove(of.idle)
		of.idle = nil
	}
	if idle && !of.closed {
		of.idle = c.idle.PushBack(of)
	}
}

// admit counts a new connection, or says that it must not be; the one that made room for it is to be closed.
func (c *Connections) admit() (evicted *conn, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open >= c.limit {
		if evicted = c.evict(); evicted == nil {
			c.refused++
			return nil, false
		}
	}
	c.open++
	return evicted, true
}

// evict takes the longest idle connection out of the count, nil if there is none; with mu held.
func (c *Connections) evict() *conn {
	front := c.idle.Front()
	if front == nil {
		return nil
	}
	oldest := front.Value.(*conn)
	c.rest(oldest, false)
	oldest.closed = true
	c.open--
	c.evicted++
	return oldest
}

type listener struct {
	net.Listener
	of *Connections
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) { // others hold them
			l.of.mu.Lock()
			oldest := l.of.evict()
			l.of.mu.Unlock()
			if oldest != nil {
				oldest.Conn.Close()
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		evicted, ok := l.of.admit()
		if evicted != nil {
			evicted.Conn.Close()
		}
		if !ok {
			nc.Close()
			continue
		}
		return &conn{Conn: nc, of: l.of}, nil
	}
}

type conn struct {
	net.Conn
	of     *Connections
	idle   *list.Element // where it is among the idle ones
	closed bool          // it counts no more
}

func (c *conn) Close() error {
	c.of.mu.Lock()
	c.of.rest(c, false)
	if !c.closed {
		c.closed = true
		c.of.open--
	}
	c.of.mu.Unlock()
	return c.Conn.Close()
}
