package slackfake

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// Network is a network inside the process. It needs no sockets, so programs that talk
// over it can live in a testing/synctest bubble, where time is free.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*networkListener
}

// NewNetwork returns a network without anybody in it.
func NewNetwork() *Network { return &Network{listeners: make(map[string]*networkListener)} }

// Listen takes connections to a host, whatever the port.
func (n *Network) Listen(host string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[host] != nil {
		return nil, fmt.Errorf("slackfake: listen on %q: somebody does already", host)
	}
	l := &networkListener{network: n, host: host, conns: make(chan net.Conn), done: make(chan struct{})}
	n.listeners[host] = l
	return l, nil
}

// DialContext connects to a host of the network, as net.Dialer's does.
func (n *Network) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	l := n.listeners[host]
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("connect to %q: connection refused", address)}
	if l == nil {
		return nil, refused
	}
	here, there := newConns()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.done:
		return nil, refused
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Client returns a client whose requests go over the network.
func (n *Network) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: n.DialContext}}
}

type networkListener struct {
	network *Network
	host    string
	conns   chan net.Conn
	once    sync.Once
	done    chan struct{}
}

func (l *networkListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *networkListener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		delete(l.network.listeners, l.host)
	})
	return nil
}

func (l *networkListener) Addr() net.Addr { return networkAddr(l.host) }

type networkAddr string

func (networkAddr) Network() string  { return "memory" }
func (a networkAddr) String() string { return string(a) + ":80" }
