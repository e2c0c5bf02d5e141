// Gorilla: the library of the demo this project began with. It compresses without context takeover.
//
// Arguments: folder of the certificate, mode, work, level.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"

	"github.com/gorilla/websocket"
)

// client is a connection and the lock that its writers need: gorilla allows one at a time.
type client struct {
	*websocket.Conn
	writing sync.Mutex
}

func (c *client) write(message *websocket.PreparedMessage) {
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.WritePreparedMessage(message)
}

func main() {
	folder, mode, work := os.Args[1], os.Args[2], os.Args[3]
	level, err := strconv.Atoi(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	upgrader := websocket.Upgrader{
		EnableCompression: mode != "plain",
		CheckOrigin:       func(*http.Request) bool { return true },
	}
	var all sync.Map

	broadcast := func(kind int, data []byte) error {
		message, err := websocket.NewPreparedMessage(kind, data)
		if err != nil {
			return err
		}
		all.Range(func(key, _ any) bool {
			key.(*client).write(message)
			return true
		})
		return nil
	}

	http.HandleFunc("/", func(response http.ResponseWriter, request *http.Request) {
		conn, err := upgrader.Upgrade(response, request, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetCompressionLevel(level)
		self := &client{Conn: conn}
		all.Store(self, true)
		defer all.Delete(self)
		answer := conn.WriteMessage
		if work == "broadcast" {
			answer = broadcast
		}
		for {
			kind, data, err := conn.ReadMessage()
			if err != nil || answer(kind, data) != nil {
				return
			}
		}
	})

	certificate, err := tls.LoadX509KeyPair(folder+"/server.crt", folder+"/server.key")
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	// Over HTTP/2, which the server would choose by itself, there is no upgrade.
	server := http.Server{
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{certificate}},
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		// A client that cuts its connection off is nothing to report.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	log.Fatal(server.ServeTLS(listener, "", ""))
}
