// A WebSocket server over TLS on gorilla/websocket, with permessage-deflate: answers every message
// with one of its own, in the type it came in.
package main

import (
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/gorilla/websocket"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8443", "address to listen on; port 0 picks a free one")
	cert := flag.String("cert", "server.crt", "certificate, PEM")
	key := flag.String("key", "server.key", "private key of the certificate, PEM")
	reply := flag.String("reply", "Retorno do servidor!", "the answer")
	compression := flag.Bool("compression", true, "agree to permessage-deflate")
	flag.Parse()
	log.SetFlags(0)
	log.SetOutput(os.Stdout)

	upgrader := websocket.Upgrader{
		EnableCompression: *compression,
		CheckOrigin:       func(*http.Request) bool { return true },
	}
	http.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		log.Print("Handshake recebido")
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			log.Print("Erro ao fazer upgrade para WebSocket: ", err)
			return
		}
		defer conn.Close()
		log.Print("Conexão WebSocket estabelecida!")
		converse(conn, []byte(*reply))
		log.Print("Conexão WebSocket encerrada!")
	})

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal("Erro ao iniciar o servidor: ", err)
	}
	log.Printf("Servidor WebSocket rodando na porta %d...", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal("Erro ao iniciar o servidor: ", http.ServeTLS(listener, nil, *cert, *key))
}

// Answers messages until the client closes; gorilla answers the close itself.
func converse(conn *websocket.Conn, reply []byte) {
	for {
		kind, message, err := conn.ReadMessage()
		var closed *websocket.CloseError
		if errors.As(err, &closed) && closed.Code == websocket.CloseNormalClosure {
			return
		}
		if err != nil {
			log.Print("Erro ao ler mensagem: ", err)
			return
		}
		log.Printf("Mensagem recebida do cliente: %s", message)
		if err := conn.WriteMessage(kind, reply); err != nil {
			log.Print("Erro ao enviar mensagem: ", err)
			return
		}
		log.Printf("Mensagem enviada de volta para o cliente: %s", reply)
	}
}
