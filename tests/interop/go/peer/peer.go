// The Go package gorilla/websocket as the peer of peer.ts: a program with the orders as its argument.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/gorilla/websocket"
)

// A message longer than this goes out in several frames.
const writeBufferSize = 1024

type orders struct {
	Role, URL, CA, Cert, Key string
	// An object of options, of which gorilla has none, or false.
	Compression any
}

func main() {
	var given orders
	if err := json.Unmarshal([]byte(os.Args[1]), &given); err != nil {
		log.Fatal(err)
	}
	compress := given.Compression != false
	if given.Role == "client" {
		runClient(given, compress)
	} else {
		runServer(given, compress)
	}
}

func runServer(given orders, compress bool) {
	upgrader := websocket.Upgrader{EnableCompression: compress, WriteBufferSize: writeBufferSize}
	handler := func(response http.ResponseWriter, request *http.Request) {
		conn, err := upgrader.Upgrade(response, request, nil)
		if err != nil {
			return
		}
		// The response itself cannot be seen: this is what Upgrade writes into it.
		extensions := ""
		if compress && strings.Contains(request.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate") {
			extensions = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
		}
		obey(conn, extensions)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	server := http.Server{
		Handler: http.HandlerFunc(handler),
		// HTTP/2 has no Upgrade.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	log.Fatal(server.ServeTLS(listener, given.Cert, given.Key))
}

func runClient(given orders, compress bool) {
	pem, err := os.ReadFile(given.CA)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	dialer := websocket.Dialer{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		EnableCompression: compress,
		WriteBufferSize:   writeBufferSize,
	}
	conn, response, err := dialer.Dial(given.URL, nil)
	if err != nil {
		log.Fatal(err)
	}
	obey(conn, response.Header.Get("Sec-WebSocket-Extensions"))
}

// Sends every message back, but the commands among them.
func obey(conn *websocket.Conn, extensions string) {
	defer conn.Close()
	fmt.Println("open", extensions)
	// Its default level skips through what hardly compresses, and misses repetitions in it.
	if err := conn.SetCompressionLevel(6); err != nil {
		log.Fatal(err)
	}
	conn.SetPongHandler(func(data string) error {
		return conn.WriteMessage(websocket.TextMessage, []byte("pong "+data))
	})
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			tellEnd(err)
			return
		}
		if kind == websocket.TextMessage && len(data) > 0 && data[0] == '!' {
			err = command(conn, string(data[1:]))
		} else {
			err = conn.WriteMessage(kind, data)
		}
		if err != nil {
			log.Println(err)
		}
	}
}

func command(conn *websocket.Conn, line string) error {
	words := append(strings.SplitN(line, " ", 3), "", "")
	switch words[0] {
	case "ping":
		return conn.WriteMessage(websocket.PingMessage, []byte(words[1]))
	case "fragments":
		count, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		// Frames of writeBufferSize.
		return conn.WriteMessage(websocket.TextMessage, []byte(strings.Repeat(words[2], count)))
	case "invalid":
		return conn.WriteMessage(websocket.TextMessage, []byte{0x61, 0xff})
	case "close":
		code, err := strconv.Atoi(words[1])
		if err != nil {
			return err
		}
		return conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, words[2]))
	case "drop":
		return conn.UnderlyingConn().(*tls.Conn).NetConn().Close()
	}
	return nil
}

func tellEnd(err error) {
	end := &websocket.CloseError{Code: websocket.CloseAbnormalClosure}
	errors.As(err, &end)
	fmt.Println(strings.TrimSpace(fmt.Sprintln("closed", end.Code, end.Text)))
}
