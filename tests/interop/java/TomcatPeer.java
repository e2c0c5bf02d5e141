// libtomcat10-java as the peer of `peer.ts`, a client alone: sends every message back, compressed with a context
// that it keeps. Its arguments are the URL and the path of the authority.

import jakarta.websocket.ClientEndpointConfig;
import jakarta.websocket.CloseReason;
import jakarta.websocket.Endpoint;
import jakarta.websocket.EndpointConfig;
import jakarta.websocket.Extension;
import jakarta.websocket.HandshakeResponse;
import jakarta.websocket.MessageHandler;
import jakarta.websocket.Session;
import java.io.FileInputStream;
import java.net.URI;
import java.nio.ByteBuffer;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.apache.tomcat.websocket.WsWebSocketContainer;

public class TomcatPeer extends Endpoint {
    static final CountDownLatch ended = new CountDownLatch(1);
    static volatile String extensions = "";

    public static void main(String[] args) throws Exception {
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null);
        try (FileInputStream file = new FileInputStream(args[1])) {
            trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        List<Extension> offer = List.of(new Extension() {
            @Override
            public String getName() {
                return "permessage-deflate";
            }

            @Override
            public List<Parameter> getParameters() {
                return List.of();
            }
        });
        ClientEndpointConfig config = ClientEndpointConfig.Builder.create()
            .extensions(offer)
            .sslContext(context)
            .configurator(new ClientEndpointConfig.Configurator() {
                @Override
                public void afterResponse(HandshakeResponse response) {
                    List<String> values = response.getHeaders().get("Sec-WebSocket-Extensions");
                    extensions = values == null ? "" : String.join(", ", values);
                }
            })
            .build();
        WsWebSocketContainer container = new WsWebSocketContainer();
        container.setDefaultMaxTextMessageBufferSize(1 << 20);
        container.setDefaultMaxBinaryMessageBufferSize(1 << 20);
        container.connectToServer(new TomcatPeer(), config, URI.create(args[0]));
        ended.await();
        System.exit(0);
    }

    @Override
    public void onOpen(Session session, EndpointConfig config) {
        System.out.println(("open " + extensions).strip());
        session.addMessageHandler(new MessageHandler.Whole<String>() {
            @Override
            public void onMessage(String text) {
                session.getAsyncRemote().sendText(text);
            }
        });
        session.addMessageHandler(new MessageHandler.Whole<ByteBuffer>() {
            @Override
            public void onMessage(ByteBuffer bytes) {
                session.getAsyncRemote().sendBinary(bytes);
            }
        });
    }

    @Override
    public void onClose(Session session, CloseReason reason) {
        System.out.println("closed " + reason.getCloseCode().getCode());
        ended.countDown();
    }
}
