// A WebSocket client over TLS on gorilla/websocket, with permessage-deflate: sends one message, prints
// the answer, closes and waits for the server's close.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/gorilla/websocket"
)

func main() {
	url := flag.String("url", "wss://localhost:8443/ws", "URL to connect to")
	cacert := flag.String("cacert", "ca.crt", "certificate authority to trust, PEM")
	text := flag.String("message", "Olá, servidor WebSocket!", "message to send")
	binary := flag.Bool("binary", false, "send the message as binary")
	compression := flag.Bool("compression", true, "offer permessage-deflate")
	flag.Parse()
	log.SetFlags(0)

	authority, err := os.ReadFile(*cacert)
	if err != nil {
		log.Fatal("Erro ao ler a autoridade: ", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	dialer := websocket.Dialer{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		EnableCompression: *compression,
		HandshakeTimeout:  10 * time.Second,
	}

	fmt.Println("Conectando a", *url)
	conn, response, err := dialer.Dial(*url, nil)
	if err != nil {
		log.Fatal("Erro ao conectar ao WebSocket: ", err)
	}
	defer conn.Close()
	fmt.Printf("Extensões: %q\n", response.Header.Get("Sec-WebSocket-Extensions"))

	kind := websocket.TextMessage
	if *binary {
		kind = websocket.BinaryMessage
	}
	if err := conn.WriteMessage(kind, []byte(*text)); err != nil {
		log.Fatal("Erro ao enviar mensagem: ", err)
	}
	log.Print("Mensagem enviada para o servidor: ", *text)

	answered, answer, err := conn.ReadMessage()
	if err != nil {
		log.Fatal("Erro ao ler mensagem: ", err)
	}
	if answered != kind {
		log.Fatal("Erro ao ler mensagem: outro tipo, ", answered)
	}
	fmt.Printf("Mensagem recebida do servidor: %s\n", answer)

	normal := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := conn.WriteMessage(websocket.CloseMessage, normal); err != nil {
		log.Fatal("Erro ao enviar mensagem de fechamento: ", err)
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		log.Fatal("Erro ao encerrar a conexão: ", err)
	}
	log.Print("Conexão WebSocket encerrada!")
}
