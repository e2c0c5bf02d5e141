/**
 * Every sentence the two programs say, and the server's page, in Portuguese (the demo's own, the default) and
 * English.
 *
 * A `{name}` in a sentence is filled by {@linkcode fill}, or by the log; a form is chosen by {@linkcode agree}. Bodies of HTTP responses are always English, except
 * the page.
 *
 * @module
 */

/** The languages `--lang` knows; the first is the default. */
export const LANGUAGES = ["pt-BR", "en"] as const;

/** One of {@linkcode LANGUAGES}. */
export type Language = typeof LANGUAGES[number];

const portuguese = {
  server: {
    listening: "Servidor WebSocket rodando na porta {port}...",
    address: "Endereço: {url}",
    metrics: "Métricas em {url}",
    notFound: "Nada em {path} ({method})",
    refused: "Recusado: {reason}",
    handshake: "Handshake recebido",
    open: "Conexão WebSocket estabelecida!",
    agreed: "Extensões acordadas: {extensions}",
    frameSent:
      "Frame enviado: {frame}, {wireLength} {wireLength|byte|bytes} na rede, payload de {payloadLength} {payloadLength|byte|bytes}",
    frameReceived:
      "Frame recebido: {frame}, {wireLength} {wireLength|byte|bytes} na rede, payload de {payloadLength} {payloadLength|byte|bytes}",
    received: "Mensagem recebida do cliente: {data}",
    sent: "Mensagem enviada de volta para o cliente: {data}",
    closed: "Conexão WebSocket encerrada!",
    joined: 'Entrou na sala "{room}"',
    published: 'Mensagem enviada à sala "{room}", a {count} aqui',
    left: 'Saiu da sala "{room}"',
    skipped: "Mensagens não enviadas nos últimos {seconds} s a quem as lê devagar demais: {count}",
    backplaneConnected: "Backplane conectado",
    backplaneRefused: "O backplane recusou um comando: {reason}",
    backplaneLost: "Backplane fora do ar, as salas seguem só neste servidor: {reason}",
    upgradeFailed: "Erro ao fazer upgrade para WebSocket: {reason}",
    readFailed: "Erro ao ler mensagem: {reason}",
    sendFailed: "Erro ao enviar mensagem: {reason}",
    startFailed: "Erro ao iniciar o servidor: {reason}",
    certificateRenewed: 'Certificado renovado de "{path}"',
    certificateKept: "Certificado anterior mantido: {reason}",
    workerFailed: "O worker {worker} falhou, outro toma seu lugar em {ms} ms: {reason}",
    linesLeftOut:
      "Linhas do registro omitidas nos últimos {seconds} s, por excesso de tráfego: {count}",
    draining:
      "Encerrando em {ms} ms: /healthz responde 503 e novas conexões WebSocket são recusadas",
    totals:
      "Totais: conexões: {connections}, WebSockets: {sockets}, mensagens recebidas: {received} ({receivedBytes} {receivedBytes|byte|bytes}, {receivedWire} na rede), enviadas: {sent} ({sentBytes} {sentBytes|byte|bytes}, {sentWire} na rede), recusas: {refusals}",
    restartToRenew: "reinicie o servidor para usar o novo certificado com --compression=off",
    certificateExpiring: 'O certificado "{path}" vence em {date}; {remedy}',
    certificateOfAuthority:
      'O certificado "{path}" é o de uma autoridade (CA:TRUE), que clientes como o Deno recusam de um servidor; use um com CA:FALSE',
    usage:
      "server.ts: servidor WebSocket sobre TLS. Uso: deno task serve [opções]\nCada opção vem também do ambiente (WSS_PORT); a linha de comando vence.",
    headings: {
      host: "Endereço e certificado:",
      mode: "Mensagens:",
      origin: "Acesso e limites:",
      workers: "Execução e encerramento:",
      lang: "Saída:",
    },
    flags: {
      host: "endereço em que escuta; padrão: todos",
      port: "porta; 0 escolhe uma livre",
      path: "caminho do WebSocket",
      cert: "certificado, PEM",
      key: "chave, PEM; padrão: em --cert ou certs/server.key",
      mode: "reply, echo, broadcast (salas), interactive",
      reply: "a resposta do modo reply",
      "max-rooms": "máximo de salas com alguém dentro",
      history: "últimas mensagens da sala a quem entra",
      backplane: "nats:// ou redis:// que une as salas de servidores",
      compression: "on, off (do Deno), fast, small ou level=6;…",
      page: "página em / para experimentar no navegador",
      origin: "origem aceita, repetível; padrão: qualquer uma",
      token: "exige o token: Bearer, ?token= ou bearer.SECRET",
      "max-message-size": "maior mensagem recebida",
      "max-connections": "máximo de conexões ao mesmo tempo",
      "max-per-address": "e de um mesmo endereço",
      "max-memory": "máximo do que as conexões retêm",
      "idle-timeout": "silêncio tolerado a um par; 0 desliga",
      "trust-proxy": "proxy, rede ou unix cujo X-Forwarded-For vale",
      "proxy-protocol": "toda conexão começa com o cabeçalho PROXY",
      workers: "threads na mesma porta, uma por núcleo",
      metrics: "/metrics do Prometheus; endereço padrão: 127.0.0.1",
      drain: "com SIGTERM, quanto atende com /healthz em 503",
      spread: "e depois, em quanto fecha os sockets um a um",
      "close-code": "código com que os fecha; 1012: reinício",
      grace: "espera máxima ao encerrar",
      lang: "idioma das mensagens",
      "log-level": "debug, info, warning ou error",
      "log-format": "formato do registro",
      "log-timestamps": "data e hora em cada linha",
      help: "esta ajuda",
      version: "a versão",
    },
  },
  page: {
    lang: "pt-BR",
    title: "Cliente WebSocket",
    noScript: "Esta página precisa de JavaScript.",
    connection: "Conexão",
    room: "Sala",
    roomHint: "Vazia para a sala principal. O endereço desta página leva à sala.",
    badRoom: "O nome da sala não serve: no máximo 80 bytes, e não . ou ..",
    token: "Token de acesso",
    tokenHint: "Só é enviado a este servidor, e não é guardado.",
    badToken:
      "O token não serve: um navegador só envia letras, dígitos e estes sinais: !#$%&'*+-.^_`|~",
    connect: "Conectar",
    disconnect: "Desconectar",
    address: "Endereço",
    subprotocol: "Subprotocolo",
    extensions: "Extensões",
    none: "nenhum acordo",
    message: "Mensagem",
    kind: "Tipo",
    text: "Texto",
    hex: "Binário, em hexadecimal",
    file: "Binário, de um arquivo",
    textHint: "Enter envia, Shift+Enter quebra a linha.",
    hexHint: "Dois dígitos por byte, como 00 ff 10.",
    badHex: "O binário não serve: são necessários dois dígitos hexadecimais por byte",
    badFile: "Erro ao ler o arquivo",
    tooLong: "A mensagem tem {size} bytes, mais que os {max} que o servidor recebe",
    busy: "As mensagens anteriores ainda estão sendo enviadas; tente daqui a pouco",
    send: "Enviar",
    messages: "Mensagens",
    count: "{count} ao todo",
    shown: "{count} ao todo; as últimas {max} ficam à vista",
    clear: "Limpar",
    sent: "Enviada",
    received: "Recebida",
    kindText: "texto",
    kindBinary: "binária",
    cut: "aqui só o começo",
    idle: "Sem conexão",
    connecting: "Conectando…",
    open: "Conectado",
    closing: "Encerrando…",
    waiting: "Nova tentativa em {seconds} s ({attempt}ª)",
    refused: "O servidor recusa a conexão: confira o token, a sala e as origens que ele aceita",
    closed: "Conexão encerrada: {code}, {meaning}",
    reason: "motivo: {reason}",
    codes: {
      1000: "fim normal",
      1001: "o outro lado está de saída",
      1002: "erro de protocolo",
      1003: "tipo de dado não aceito",
      1005: "sem código",
      1006: "conexão perdida ou não estabelecida",
      1007: "dado malformado",
      1008: "contra as regras do servidor",
      1009: "mensagem grande demais",
      1010: "falta uma extensão",
      1011: "erro interno do servidor",
      1012: "o servidor reinicia",
      1013: "servidor sobrecarregado, tente mais tarde",
      1014: "resposta ruim atrás de um proxy",
      1015: "falha do TLS",
      registered: "código de um protocolo registrado",
      private: "código próprio da aplicação",
      unknown: "código desconhecido",
    },
  },
  client: {
    connecting: "Conectando a {url}",
    sent: "Mensagem enviada para o servidor: {data}",
    received: "Mensagem recebida do servidor: {data}",
    closed: "Conexão WebSocket encerrada!",
    connectFailed: "Erro ao conectar ao WebSocket: {reason}",
    readFailed: "Erro ao ler mensagem: {reason}",
    sendFailed: "Erro ao enviar mensagem: {reason}",
    closeFailed: "Erro ao encerrar a conexão: {reason}",
    reconnecting: "Reconectando em {ms} ms (tentativa {attempt} de {limit})",
    resending: "Sem resposta, enviando de novo: {data}",
    summary:
      "Mensagens: {answered} {answered|respondida|respondidas}, {unanswered} {unanswered|enviada|enviadas} sem resposta, {unsent} não {unsent|enviada|enviadas}",
    insecure: "Aviso: o certificado do servidor não será verificado (--insecure)",
    refusalBody: "Corpo da resposta: {body}",
    pong: "Pong em {ms} ms",
    frame:
      "{mark} {frame}, {wireLength} {wireLength|byte|bytes} na rede, payload de {payloadLength} {payloadLength|byte|bytes}",
    statsSent:
      "Enviado: {messages} {messages|mensagem|mensagens}, {bytes} como {wire}, {percent} %",
    statsReceived:
      "Recebido: {messages} {messages|mensagem|mensagens}, {bytes} como {wire}, {percent} %",
    statsNothingSent: "Enviado: nenhuma mensagem",
    statsNothingReceived: "Recebido: nenhuma mensagem",
    statsUnknown: "Mensagens e bytes: o WebSocket do próprio Deno não os conta",
    statsAnswers: "Respostas: p50 {p50} ms, p99 {p99} ms",
    unreadInput: "Aviso: a entrada padrão não é lida; envie cada linha dela com --stdin",
    moreHelp: "Mais opções e códigos de saída: --help=all. Com arquivos: deno task client:tool",
    usageOfAll: "Tempos e tamanhos aceitam unidades: 500ms, 30s, 5m, 1h; 64K, 16M, 1G.",
    loadFlagOfAll: "mede um servidor sob carga; veja abaixo",
    loadHelp:
      "--load: abre as conexões ao longo de --ramp, depois envia por --duration e espera as respostas que faltam por até --timeout. Com --rate o horário de cada mensagem é fixo, dividido entre as conexões, e a latência conta desde ele, também quando o envio atrasa (laço aberto); o que não pode ser enviado a tempo conta como erro. Sem --rate cada conexão envia de novo quando recebe a resposta (laço fechado): um servidor que para recebe menos, e a pausa aparece menos nos números.",
    load: {
      progress: {
        connecting: "conectando",
        loading: "enviando",
        finishing: "esperando",
        line: "{phase}: {open} de {connections}, {answers}/s, p99 {p99} ms, erros: {errors}",
      },
      connections:
        "Conexões: {opened} de {connections} {connections|aberta|abertas} em {seconds} s ({perSecond}/s), p50 {p50} ms, p99 {p99} ms, máx. {max} ms",
      messages:
        "Mensagens: {sent} {sent|enviada|enviadas}, {answered} {answered|respondida|respondidas} em {seconds} s ({perSecond}/s)",
      sent: "Enviado: {bytes} em mensagens ({perSecond}/s), {wire} na rede ({percent} %)",
      received: "Recebido: {bytes} em mensagens ({perSecond}/s), {wire} na rede ({percent} %)",
      latency: "Latência: p50 {p50} ms, p90 {p90} ms, p99 {p99} ms, p99.9 {p999} ms, máx. {max} ms",
      lateness:
        "Envio atrasado por este programa: p99 {p99} ms, máx. {max} ms, já contado na latência",
      noErrors: "Erros: nenhum",
      errors: "Erros: {count}",
      error: {
        connect: "sem conexão: {count}",
        timeout: "sem conexão a tempo: {count}",
        status: "recusadas com HTTP {code}: {count}",
        lost: "conexões que caíram: {count}",
        closed: "conexões encerradas pelo servidor com {code}: {count}",
        unexpected: "respostas inesperadas: {count}",
        unanswered: "mensagens sem resposta: {count}",
        unsent: "mensagens não enviadas a tempo: {count}",
      },
      slow: "Limite não cumprido: o p99 é {p99} ms, deve ser até {max} ms (--max-p99)",
      faulty:
        "Limite não cumprido: {count} {count|erro|erros}, deve haver até {max} (--max-errors)",
    },
    exitCodesTitle: "Códigos de saída:",
    exitCodes: {
      "0": "tudo certo, ou quem lia a saída foi embora",
      "1": "sem conexão, ou a conexão terminou antes da hora, ou um limite de --load não cumprido",
      "2": "opções que não se entendem",
      "3": "sem resposta a tempo, ou menos mensagens que --count",
      "4": "com --fail-on-close: o servidor encerrou com outro código que 1000",
      "130": "Ctrl-C, o sinal SIGINT",
      "143": "o sinal SIGTERM",
    },
    usage:
      "client.ts: cliente WebSocket. Uso: deno task client [URL] [opções]\nCada opção vem também do ambiente (WSS_TIMEOUT); a linha de comando vence.",
    flags: {
      message: "mensagem a enviar, repetível; @@ no início é um @",
      hex: "mensagem binária em hexadecimal, repetível; depois das outras",
      binary: "envia como binárias as mensagens, ou a entrada como vem",
      skip: "mensagens no início, como saudações, que não são respostas",
      "connect-only": "conecta e encerra, sem enviar nada",
      stdin: "envia cada linha da entrada padrão, mostra o que vem",
      null: "textos terminam em NUL em vez de fim de linha, nos dois sentidos",
      wait: "silêncio que encerra, depois do fim da entrada",
      follow: "envia --message, mostra tudo o que chega até Ctrl-C",
      load: "mede um servidor sob carga; mais em --help=all",
      connections: "conexões de --load",
      rate: "mensagens por segundo ao todo; padrão: quando há resposta",
      ramp: "tempo ao longo do qual as conexões são abertas",
      size: "mensagens de texto deste tamanho; aleatórias com --binary",
      expect: "a resposta certa a cada mensagem; none: não há resposta",
      "max-p99": "código de saída 1 se o p99 da latência passa disso",
      "max-errors": "código de saída 1 se há mais erros",
      count: "encerra depois de N mensagens recebidas",
      duration: "encerra depois deste tempo; 0: sem limite, com --load 10 s",
      interactive: "um prompt: envia o que se digita, mostra o que vem",
      pretty: "JSON recebido em várias linhas",
      "history-file": "histórico do prompt; off: nenhum",
      raw: "só o conteúdo das mensagens na saída padrão",
      "output-format": "mensagens binárias com --raw",
      output: "arquivo para o conteúdo das mensagens",
      json: "um objeto JSON por linha e evento",
      quiet: "nada além do que é recebido",
      timestamps: "data e hora em cada linha",
      stats: "no fim, mensagens, bytes, compressão e tempos",
      ping: "envia um ping a cada tanto, e mostra a ida e volta; 0: nunca",
      "idle-timeout": "silêncio tolerado ao servidor, mesmo a um ping; 0: sem limite",
      "show-headers": "mostra o handshake nos dois sentidos, segredos como ***",
      frames: "mostra cada frame nos dois sentidos",
      protocol: "subprotocolo oferecido, repetível",
      header: 'cabeçalho "Nome: valor" do handshake, repetível',
      user: "usuário e senha (Basic); melhor em WSS_USER",
      "bearer-file": "arquivo com o token de Authorization: Bearer",
      cookie: "cookie do handshake, repetível",
      host: "cabeçalho Host, no lugar do da URL",
      cacert: "autoridade certificadora em que confiar, PEM",
      insecure: "aceita qualquer certificado",
      cert: "certificado deste cliente, PEM; com --key",
      key: "sua chave privada, PEM",
      sni: "nome no TLS e no certificado, no lugar do da URL",
      resolve: "endereço IP de um host e porta, repetível",
      ipv4: "só endereços IPv4",
      ipv6: "só endereços IPv6",
      proxy: "http, https, socks5 ou socks5h; ou ALL_PROXY etc.",
      unix: "socket Unix em que o servidor escuta",
      location: "segue redirecionamentos; credenciais só à mesma origem",
      compression: "on, off (do Deno), fast, small ou level=6;…",
      "max-message-size": "maior mensagem recebida, e linha enviada, em bytes",
      reconnect: "tentativas de reconexão seguidas até desistir",
      "reconnect-on": "também após este status HTTP, como 404; repetível",
      timeout: "espera máxima por passo, em ms; ou 30s",
      "fail-on-close": "código de saída 4 se o servidor não encerra com 1000",
      lang: "idioma das mensagens",
      completion: "imprime o que completa opções no shell",
      help: "esta ajuda; --help=all: todas as opções",
      version: "a versão",
    },
  },
  prompt: {
    connected: "Conectado (extensões: {extensions}); /help mostra os comandos",
    closed: "Conexão encerrada: {code} ({meaning}){reason}",
    closeCodes: {
      1000: "encerramento normal",
      1001: "uma das pontas foi embora",
      1002: "erro de protocolo",
      1003: "tipo de dados não aceito",
      1005: "sem código",
      1006: "conexão caída",
      1007: "dados inválidos",
      1008: "violação de política",
      1009: "mensagem grande demais",
      1010: "falta uma extensão",
      1011: "erro interno",
      1012: "o serviço reinicia",
      1013: "tente mais tarde",
      1014: "gateway inválido",
      3000: "não autorizado",
      3003: "proibido",
      3008: "tempo esgotado",
      other: "código da aplicação",
    },
    stays: "Sem conexão: /reconnect conecta de novo, /quit sai",
    notConnected: "Nada foi enviado: não há conexão aberta; /reconnect conecta de novo",
    notOfDeno: "O WebSocket do próprio Deno não faz isso; retire --compression=off",
    notAgreed: "O servidor não aceitou a compressão: nenhuma mensagem é comprimida",
    compressing: "As próximas mensagens são comprimidas",
    notCompressing: "As próximas mensagens não são comprimidas",
    leaveHint: "Ctrl-C outra vez sai; Ctrl-D encerra com 1000",
    stopHint: "Ctrl-C outra vez encerra o servidor, como Ctrl-D",
    unknown: 'Comando desconhecido "{command}"; /help mostra todos, e // envia um texto com /',
    unknownNear:
      'Comando desconhecido "{command}", talvez "{near}"; /help mostra todos, e // envia um texto com /',
    badArguments: "Não é possível executar o comando: os argumentos devem ser como {form}",
    helpEnd: "  //TEXTO: envia /TEXTO; as teclas para cima e para baixo trazem linhas anteriores",
    /** How each command is written, and behind the colon, what it does. */
    client: {
      ping: "/ping [DADOS]: envia um Ping e mede o tempo até o Pong",
      pong: "/pong [DADOS]: envia um Pong que ninguém pediu",
      close: "/close [CÓDIGO [MOTIVO]]: encerra; 1000, ou 3000 a 4999",
      binary: "/binary HEX|@ARQUIVO: envia uma mensagem binária",
      text: "/text TEXTO|@ARQUIVO: envia uma mensagem de texto",
      stats: "/stats: mensagens, bytes e compressão desta conexão",
      compress: "/compress on|off: se as próximas mensagens são comprimidas",
      reconnect: "/reconnect: conecta de novo",
      help: "/help: esta ajuda",
      quit: "/quit: encerra com 1000 e sai, como Ctrl-D",
    },
    waiting: "Esperando clientes em {url}; /help mostra os comandos",
    joined: "#{number} conectou-se (extensões: {extensions})",
    left: "#{number} encerrou: {code} ({meaning}){reason}",
    nobody: "Não há ninguém conectado",
    noNumber: "#{number} não está conectado; /list mostra quem está, /to escolhe outro",
    toAll: "As mensagens vão a todos",
    toOne: "As mensagens vão só a #{number}; /to all: a todos de novo",
    more: "e mais {count}",
    server: {
      to: "/to N|all: a quem vão as mensagens",
      list: "/list: quem está conectado",
      binary: "/binary HEX: envia uma mensagem binária",
      ping: "/ping N: envia um Ping e mede o tempo até o Pong",
      close: "/close N [CÓDIGO [MOTIVO]]: encerra a conexão de N",
      help: "/help: esta ajuda",
      quit: "/quit: encerra o servidor, como Ctrl-D",
    },
  },
  certs: {
    made:
      'Certificado de desenvolvimento criado em "{folder}"; importe "{folder}/ca.crt" para confiar nele',
    usage: "Cria certificados de desenvolvimento. Uso: deno task certs [opções]",
    flags: {
      host: "nome além de localhost, 127.0.0.1 e ::1, repetível",
      days: "validade em dias",
      force: "substitui também um que não foi criado por ela",
      lang: "idioma das mensagens",
      help: "esta ajuda",
    },
  },
  demo: {
    server: "Saída do servidor",
    client: "Saída do cliente",
  },
  tooOldDeno: 'Não é possível executar: o Deno é "{version}", deve ser {oldest} ou mais novo',
  usage: {
    unknownFlag: 'Opção desconhecida "{flag}"; veja --help',
    unknownFlagNear: 'Opção desconhecida "{flag}", talvez "{near}"; veja --help',
    separator:
      'Retire o "--" antes de "{flag}": as opções vêm logo depois do nome da tarefa ou do programa',
    missingValue: 'Falta o valor de "{flag}"; escreva {flag}=VALOR',
    badValue: 'Valor inválido em {source}: "{value}", deve ser {wanted}',
    unexpectedArgument: 'Argumento inesperado "{argument}"; veja --help',
    incomplete: "{flag} não tem efeito sem {other}",
    excluded: "{flag} e {other} não podem ser usados juntos",
    noEffect: "Sem efeito com {setting}: {flags}; retire isso, ou use {wanted}",
  },
  wanted: {
    integer: "um número inteiro de {min} a {max}",
    size: "um número inteiro de bytes de {min} a {max}, ou com unidade, como 64K ou 16M",
    duration:
      "um número inteiro de {min} a {max} {unit}, ou com unidade, como 500ms, 30s, 5m ou 1h",
    atLeast: "ao menos {min}, o valor de {flag}",
    oneOf: "um de: {choices}",
    nonEmpty: "um texto não vazio",
    compression:
      "on, off, fast, small ou parâmetros como level=6;threshold=128;server_no_context_takeover;client_max_window_bits=12",
    path: "um caminho que começa com / e não tem espaço, ? nem #",
    origin:
      "uma origem como https://exemplo.com, https://*.exemplo.com, capacitor://localhost, file:// ou null",
    metrics: "uma porta, ou endereço e porta, como 9090, 0.0.0.0:9090 ou [::1]:9090",
    backplane: "uma URL nats://, tls://, redis:// ou rediss://, ou várias separadas por vírgulas",
    trustedProxy: "um endereço IP, uma rede como 10.0.0.0/8 ou 2001:db8::/32, ou unix",
    url: "uma URL ws:// ou wss:// sem fragmento",
    urlNear: "uma URL ws:// ou wss:// sem fragmento, talvez {near}",
    header: 'um cabeçalho "Nome: valor"',
    protocol: "um nome de subprotocolo (RFC 6455), sem repetição",
    host: "um nome de host ou endereço IP",
    hex: "um número par de dígitos hexadecimais",
    user: "USUÁRIO:SENHA",
    cookie: "NOME=VALOR",
    resolve: "HOST:PORTA:ENDEREÇO, com um endereço IP",
    proxy: "a URL de um proxy: http://, https://, socks5:// ou socks5h://",
  },
  /** Why a request was refused. The response has the English sentence as its body. */
  refusal: {
    method: "o método é {value}, deve ser GET",
    upgrade: "falta o cabeçalho Upgrade: websocket",
    version: "Sec-WebSocket-Version é {value}, deve ser 13",
    key: "Sec-WebSocket-Key ausente ou malformado, deve ser 16 bytes em base64",
    extensions: "Sec-WebSocket-Extensions não segue a gramática da RFC 6455",
    token: "falta o token, ou ele não é o certo",
    origin: "a origem {value} não é permitida",
    rooms: "o limite de salas (--max-rooms) foi atingido",
  },
  /** Why something was refused without a look at what it asks for. */
  refused: {
    tooManyConnections: "há conexões demais: --max-connections ou --max-per-address foi atingido",
    shuttingDown: "o servidor está encerrando",
    untrustedPeer: "não vem de um proxy de --trust-proxy",
    proxyHeader: "a conexão não começa com o cabeçalho PROXY ({cause})",
    tlsHandshake: "o handshake TLS falhou ({cause})",
    distrusted: "o cliente não aceita o certificado ({cause})",
    notTls: "o cliente não fala TLS, como com ws:// em vez de wss://",
    handshakeTimeout: "o handshake TLS demorou demais",
    headTooLarge: "o cabeçalho da requisição é grande demais ({cause})",
    headTimeout: "o cabeçalho da requisição demorou demais ({cause})",
    badRequest: "a requisição não pode ser atendida ({cause})",
  },
  /** Causes of a failure, each with its remedy. */
  failure: {
    portInUse:
      "a porta {port} já está em uso; encerre o outro programa ou escolha outra com {flag}",
    hostUnavailable:
      'o endereço "{host}" não é desta máquina; escolha outro com --host, ou nenhum para todas as interfaces',
    metricsUnavailable:
      'o endereço "{host}" não é desta máquina; escolha outro com --metrics, ou só a porta para 127.0.0.1',
    portDenied: "sem permissão para escutar na porta {port}; escolha uma acima de 1023 com {flag}",
    netNotAllowed:
      'o Deno não pode usar a rede em "{host}"; use deno run --allow-net={host} em vez de deno task',
    backplaneNotAllowed:
      'o Deno não pode conectar-se a "{host}"; use deno task serve:backplane, ou --allow-net={host}',
    backplaneNotLoaded:
      "não foi possível carregar o backplane ({cause}); use deno task serve:backplane",
    certificateMissing:
      'o arquivo "{path}" não existe; indique-o com {flag}, ou crie um de desenvolvimento com deno task certs',
    halfPair:
      'existe "{present}" mas não "{missing}"; traga o arquivo que falta, ou remova o outro para que os dois sejam criados',
    certificateUnreadable:
      'o arquivo "{path}" não pode ser lido pelo usuário atual; ajuste as permissões dele',
    readNotAllowed:
      'o Deno não pode ler "{path}"; use certs/, ou deno run --allow-read={path} em vez de deno task',
    writeNotAllowed: 'o Deno não pode escrever em "{path}"; execute com --allow-write={path}',
    cannotWrite:
      'não foi possível escrever em "{path}" ({cause}); libere espaço ou permita a escrita',
    notCertificate: '"{path}" não é um certificado PEM; ele começa com -----BEGIN CERTIFICATE-----',
    notKey:
      '"{path}" não é uma chave privada PEM sem senha; ela começa com -----BEGIN PRIVATE KEY-----',
    otherThanCertificate:
      '"{path}" não tem certificado, só {found}; um certificado PEM começa com -----BEGIN CERTIFICATE-----',
    otherThanKey:
      '"{path}" não tem chave privada, só {found}; uma chave PEM começa com -----BEGIN PRIVATE KEY-----',
    encryptedKey:
      'a chave "{path}" tem senha, que o servidor não pode pedir; tire-a com openssl pkey -in {path} -out NOVA',
    unsupportedKey:
      'a chave "{path}" é {found}, que o TLS daqui não usa; crie um par com P-256, P-384, P-521, Ed25519 ou RSA de 2048 bits ou mais',
    otherKey:
      'a chave "{key}" não é a do certificado "{cert}"; indique o par certo com --cert e --key',
    certificateExpired: 'o certificado "{path}" venceu em {date}; {remedy}',
    certificateNotYetValid:
      'o certificado "{path}" só vale a partir de {date}; acerte o relógio ou {remedy}',
    renewOwn: "crie outro com deno task certs",
    renewInstalled: 'apague a pasta "{folder}", e o servidor cria outro',
    renewTheirs: "renove-o com quem o emitiu",
    foreignCertificate:
      '"{path}" não foi criado por esta ferramenta e não será substituído; remova-o antes, ou use --force',
    refused: "ninguém atende em {host}; confira se o servidor está rodando e se a porta é a certa",
    nameNotFound: 'o nome "{host}" não foi encontrado; confira a URL e o DNS',
    untrusted:
      "o certificado do servidor não é de uma autoridade conhecida; confie nela com --cacert=ARQUIVO, ou aceite qualquer uma com --insecure",
    wrongName: 'o certificado do servidor não vale para "{host}"; use um nome que conste nele',
    peerExpired: "o certificado do servidor está vencido; renove-o no servidor",
    peerEarly:
      "o certificado do servidor ainda não é válido; acerte os relógios, ou troque-o no servidor",
    peerIsAuthority:
      "o certificado do servidor é o de uma autoridade, e não pode ser o de um servidor; troque-o por um com CA:FALSE, ou aceite qualquer um com --insecure",
    peerBadSignature:
      "a assinatura do certificado do servidor não confere com a autoridade que ele nomeia; traga a cadeia certa para o servidor, ou a autoridade atual com --cacert",
    peerPurpose: "o certificado do servidor não é para servidores; peça um que o seja (serverAuth)",
    peerCertificate:
      "o certificado do servidor não foi aceito ({cause}); troque-o no servidor, ou aceite qualquer um com --insecure",
    speaksTls: "o servidor fala TLS nessa porta; use wss:// em vez de ws://",
    notTls: "o servidor não fala TLS nessa porta; use ws:// em vez de wss://, ou outra porta",
    status: "o servidor respondeu HTTP {status} em vez de 101; {hint}",
    statusHints: {
      301: "siga o redirecionamento com --location",
      302: "siga o redirecionamento com --location",
      303: "siga o redirecionamento com --location",
      307: "siga o redirecionamento com --location",
      308: "siga o redirecionamento com --location",
      401: "ele exige credenciais, envie-as com --header",
      403: "ele recusa este cliente ou esta origem",
      404: "confira o caminho da URL",
      426:
        "um proxy no caminho pode ter tirado o cabeçalho Upgrade, ou ele fala outra versão do protocolo",
      429: "ele recebe pedidos demais, tente mais tarde",
      500: "ele falhou; o motivo está no registro dele",
      502: "um proxy no caminho não chega ao servidor",
      503: "ele está no limite ou encerrando, tente mais tarde",
      504: "um proxy no caminho não recebe resposta do servidor",
      other: "confira se a URL é de um servidor WebSocket",
    },
    proxyStatus: "o proxy respondeu HTTP {status} em vez de abrir um túnel; {hint}",
    proxyHints: {
      407: "ele exige credenciais, dê-as em WSS_PROXY=http://USUÁRIO:SENHA@HOST",
      other: "confira --proxy, ou as variáveis ALL_PROXY, HTTPS_PROXY e HTTP_PROXY",
    },
    proxyFailed:
      "{proxy} não abriu a conexão ({cause}); confira --proxy, ou as variáveis ALL_PROXY, HTTPS_PROXY e HTTP_PROXY",
    noSocket: 'não há socket Unix em "{path}"; confira --unix e se o servidor está rodando',
    unixWithoutTls:
      "o WebSocket do próprio Deno não faz TLS sobre um socket Unix; use ws://, ou retire --compression=off",
    unixNotAllowed:
      'o Deno não pode usar "{path}"; execute com --allow-read={path} --allow-write={path}',
    manyRedirects: "o servidor redireciona mais de {max} vezes; confira a URL",
    strangeRedirect:
      'o servidor redireciona para "{location}", que não é a URL de um WebSocket; confira a URL',
    redirectWithoutTls:
      'o servidor redireciona para "{location}", sem TLS; use essa URL se confia na rede',
    notWebSocket: "o servidor não completou o handshake WebSocket ({cause})",
    timeout: "sem resposta de {host} em {ms} ms; aumente com --timeout",
    noAnswer: "nenhuma resposta em {ms} ms; aumente com --timeout",
    noClose: "o servidor não confirmou o encerramento em {ms} ms; aumente com --timeout",
    closedEarly: "o servidor encerrou a conexão (código {code}{reason}) antes de responder",
    noProtocol: "o servidor não escolheu nenhum dos subprotocolos oferecidos ({protocols})",
    noAddress: 'o nome "{host}" não tem endereço IPv{family}; confira a URL e o DNS',
    fewMessages:
      "{received|veio|vieram} {received} de {count} {count|mensagem|mensagens} em {ms} ms",
    notText: '"{path}" não é texto em UTF-8; envie-o com --binary',
    longMessage:
      'uma mensagem de "{path}" passa de {max} {max|byte|bytes}; aumente com --max-message-size, ou use --binary',
    messageUnreadable:
      'o arquivo "{path}" não pode ser lido ({cause}); um @ no início de um texto se escreve @@',
    fileUnreadable: 'o arquivo "{path}" não pode ser lido ({cause})',
    fileNotAllowed: 'o Deno não pode usar o arquivo "{path}"; use deno task client:tool',
    noToken: 'o arquivo "{path}" não contém um token (RFC 6750)',
    noTerminal:
      "--interactive precisa de um terminal, na entrada e na saída; para programas há --stdin e --follow",
    noTerminalToServe:
      "--mode=interactive precisa de um terminal, na entrada e na saída; sem uma pessoa, use --mode=reply ou echo",
    historyUnusable:
      'o histórico "{path}" não pode ser usado ({cause}); indique outro, ou --history-file=off',
    closedByServer: "o servidor encerrou a conexão (código {code}{reason})",
    insecureNeedsFlag:
      "para aceitar qualquer certificado, o WebSocket do próprio Deno precisa de uma opção do Deno: execute deno task client:insecure",
    tooLong: "o servidor enviou uma mensagem maior que --max-message-size; aumente esse limite",
    violation: "o cliente encerrou a conexão (código {code}, {cause})",
    lost: "a conexão caiu sem encerramento (código {code})",
  },
};

/** Every sentence, in one language. */
export type Sentences = typeof portuguese;

const english: Sentences = {
  server: {
    listening: "WebSocket server running on port {port}...",
    address: "Address: {url}",
    metrics: "Metrics at {url}",
    notFound: "Nothing at {path} ({method})",
    refused: "Refused: {reason}",
    handshake: "Handshake received",
    open: "WebSocket connection established!",
    agreed: "Extensions agreed on: {extensions}",
    frameSent:
      "Frame sent: {frame}, {wireLength} {wireLength|byte|bytes} on the wire, payload of {payloadLength} {payloadLength|byte|bytes}",
    frameReceived:
      "Frame received: {frame}, {wireLength} {wireLength|byte|bytes} on the wire, payload of {payloadLength} {payloadLength|byte|bytes}",
    received: "Message received from the client: {data}",
    sent: "Message sent back to the client: {data}",
    closed: "WebSocket connection closed!",
    joined: 'Joined room "{room}"',
    published: 'Message sent to room "{room}", to {count} here',
    left: 'Left room "{room}"',
    skipped: "Messages not sent in the last {seconds} s to those who read too slowly: {count}",
    backplaneConnected: "Backplane connected",
    backplaneRefused: "The backplane refused a command: {reason}",
    backplaneLost: "Backplane away, rooms go on on this server alone: {reason}",
    upgradeFailed: "Error upgrading to WebSocket: {reason}",
    readFailed: "Error reading message: {reason}",
    sendFailed: "Error sending message: {reason}",
    startFailed: "Error starting the server: {reason}",
    certificateRenewed: 'Certificate renewed from "{path}"',
    certificateKept: "The old certificate is kept: {reason}",
    workerFailed: "Worker {worker} failed, another takes its place in {ms} ms: {reason}",
    linesLeftOut:
      "Lines left out of the log in the last {seconds} s, as there was too much traffic: {count}",
    draining: "Stopping in {ms} ms: /healthz answers 503 and new WebSockets are refused",
    totals:
      "Totals: connections: {connections}, WebSockets: {sockets}, messages received: {received} ({receivedBytes} {receivedBytes|byte|bytes}, {receivedWire} on the wire), sent: {sent} ({sentBytes} {sentBytes|byte|bytes}, {sentWire} on the wire), refusals: {refusals}",
    restartToRenew: "restart the server to use the new certificate with --compression=off",
    certificateExpiring: 'The certificate "{path}" expires on {date}; {remedy}',
    certificateOfAuthority:
      'The certificate "{path}" is that of an authority (CA:TRUE), which clients such as Deno refuse from a server; use one with CA:FALSE',
    usage:
      "server.ts: WebSocket server over TLS. Usage: deno task serve [flags]\nEach flag also comes from the environment (WSS_PORT); the command line wins.",
    headings: {
      host: "Address and certificate:",
      mode: "Messages:",
      origin: "Access and limits:",
      workers: "Running and leaving:",
      lang: "Output:",
    },
    flags: {
      host: "address to listen on; default: all",
      port: "port; 0 picks a free one",
      path: "path of the WebSocket",
      cert: "certificate, PEM",
      key: "its key, PEM; default: in --cert or certs/server.key",
      mode: "reply, echo, broadcast (rooms), interactive",
      reply: "the answer of mode reply",
      "max-rooms": "most rooms that somebody is in",
      history: "latest messages of a room, to who joins it",
      backplane: "nats:// or redis:// that joins servers' rooms",
      compression: "on, off (Deno's own), fast, small or level=6;…",
      page: "page at / to try it in the browser",
      origin: "origin to accept, repeatable; default: any",
      token: "asks for it: Bearer, ?token= or bearer.SECRET",
      "max-message-size": "longest message received",
      "max-connections": "most connections at a time",
      "max-per-address": "and from one address",
      "max-memory": "most of what connections hold",
      "idle-timeout": "silence borne of a peer; 0 turns it off",
      "trust-proxy": "proxy, network or unix whose X-Forwarded-For counts",
      "proxy-protocol": "each connection begins with the PROXY header",
      workers: "threads on the same port, one a core",
      metrics: "Prometheus' /metrics; default address: 127.0.0.1",
      drain: "on SIGTERM, time it serves on, with /healthz 503",
      spread: "and then, time over which it closes the sockets",
      "close-code": "code it closes them with; 1012: a restart",
      grace: "longest wait when stopping",
      lang: "language of the messages",
      "log-level": "debug, info, warning or error",
      "log-format": "format of the log",
      "log-timestamps": "date and time on each line",
      help: "this help",
      version: "the version",
    },
  },
  page: {
    lang: "en",
    title: "WebSocket client",
    noScript: "This page needs JavaScript.",
    connection: "Connection",
    room: "Room",
    roomHint: "Empty for the main room. The address of this page leads to the room.",
    badRoom: "The name of the room will not do: at most 80 bytes, and not . or ..",
    token: "Access token",
    tokenHint: "It is sent to this server alone, and not kept.",
    badToken:
      "The token will not do: a browser sends only letters, digits and these signs: !#$%&'*+-.^_`|~",
    connect: "Connect",
    disconnect: "Disconnect",
    address: "Address",
    subprotocol: "Subprotocol",
    extensions: "Extensions",
    none: "none agreed on",
    message: "Message",
    kind: "Type",
    text: "Text",
    hex: "Binary, in hexadecimal",
    file: "Binary, from a file",
    textHint: "Enter sends, Shift+Enter begins a line.",
    hexHint: "Two digits a byte, as in 00 ff 10.",
    badHex: "The binary will not do: two hexadecimal digits are needed for each byte",
    badFile: "Error reading the file",
    tooLong: "The message has {size} bytes, more than the {max} that the server receives",
    busy: "Earlier messages are still being sent; try again in a moment",
    send: "Send",
    messages: "Messages",
    count: "{count} in all",
    shown: "{count} in all; the latest {max} are shown",
    clear: "Clear",
    sent: "Sent",
    received: "Received",
    kindText: "text",
    kindBinary: "binary",
    cut: "only the beginning here",
    idle: "Not connected",
    connecting: "Connecting…",
    open: "Connected",
    closing: "Closing…",
    waiting: "Another attempt in {seconds} s (attempt {attempt})",
    refused:
      "The server refuses the connection: check the token, the room and the origins it accepts",
    closed: "Connection closed: {code}, {meaning}",
    reason: "reason: {reason}",
    codes: {
      1000: "normal end",
      1001: "the other end is going away",
      1002: "protocol error",
      1003: "type of data not accepted",
      1005: "no code given",
      1006: "connection lost, or not established",
      1007: "malformed data",
      1008: "against the server's rules",
      1009: "message too big",
      1010: "an extension is missing",
      1011: "internal error of the server",
      1012: "the server restarts",
      1013: "server overloaded, try again later",
      1014: "bad answer behind a proxy",
      1015: "TLS failure",
      registered: "code of a registered protocol",
      private: "code of the application's own",
      unknown: "unknown code",
    },
  },
  client: {
    connecting: "Connecting to {url}",
    sent: "Message sent to the server: {data}",
    received: "Message received from the server: {data}",
    closed: "WebSocket connection closed!",
    connectFailed: "Error connecting to the WebSocket: {reason}",
    readFailed: "Error reading message: {reason}",
    sendFailed: "Error sending message: {reason}",
    closeFailed: "Error closing the connection: {reason}",
    reconnecting: "Reconnecting in {ms} ms (attempt {attempt} of {limit})",
    resending: "Not answered, sending again: {data}",
    summary:
      "Messages: {answered} answered, {unanswered} sent without an answer, {unsent} not sent",
    insecure: "Warning: the server's certificate will not be verified (--insecure)",
    refusalBody: "Body of the response: {body}",
    pong: "Pong in {ms} ms",
    frame:
      "{mark} {frame}, {wireLength} {wireLength|byte|bytes} on the wire, payload of {payloadLength} {payloadLength|byte|bytes}",
    statsSent: "Sent: {messages} {messages|message|messages}, {bytes} as {wire}, {percent} %",
    statsReceived:
      "Received: {messages} {messages|message|messages}, {bytes} as {wire}, {percent} %",
    statsNothingSent: "Sent: no messages",
    statsNothingReceived: "Received: no messages",
    statsUnknown: "Messages and bytes: Deno's own WebSocket does not count them",
    statsAnswers: "Answers: p50 {p50} ms, p99 {p99} ms",
    unreadInput: "Warning: standard input is not read; send each line of it with --stdin",
    moreHelp: "More flags and the exit codes: --help=all. With files: deno task client:tool",
    usageOfAll: "Times and sizes take units: 500ms, 30s, 5m, 1h; 64K, 16M, 1G.",
    loadFlagOfAll: "measure a server under load; see below",
    loadHelp:
      "--load: opens the connections over --ramp, then sends for --duration, and waits for the answers still to come for up to --timeout. With --rate each message has its fixed time, shared among the connections, and its latency counts from then, also when it is sent late (an open loop); what cannot be sent in time counts as an error. Without --rate each connection sends again when it was answered (a closed loop): a server that stalls is asked less, and the stall shows less in the figures.",
    load: {
      progress: {
        connecting: "connecting",
        loading: "sending",
        finishing: "waiting",
        line: "{phase}: {open} of {connections}, {answers}/s, p99 {p99} ms, errors: {errors}",
      },
      connections:
        "Connections: {opened} of {connections} opened in {seconds} s ({perSecond}/s), p50 {p50} ms, p99 {p99} ms, max {max} ms",
      messages: "Messages: {sent} sent, {answered} answered in {seconds} s ({perSecond}/s)",
      sent: "Sent: {bytes} in messages ({perSecond}/s), {wire} on the network ({percent} %)",
      received:
        "Received: {bytes} in messages ({perSecond}/s), {wire} on the network ({percent} %)",
      latency: "Latency: p50 {p50} ms, p90 {p90} ms, p99 {p99} ms, p99.9 {p999} ms, max {max} ms",
      lateness: "Sent late by this program: p99 {p99} ms, max {max} ms, counted in the latency",
      noErrors: "Errors: none",
      errors: "Errors: {count}",
      error: {
        connect: "no connection: {count}",
        timeout: "no connection in time: {count}",
        status: "refused with HTTP {code}: {count}",
        lost: "connections lost: {count}",
        closed: "connections closed by the server with {code}: {count}",
        unexpected: "unexpected answers: {count}",
        unanswered: "messages without an answer: {count}",
        unsent: "messages not sent in time: {count}",
      },
      slow: "Limit not kept: p99 is {p99} ms, must be at most {max} ms (--max-p99)",
      faulty: "Limit not kept: {count} {count|error|errors}, must be at most {max} (--max-errors)",
    },
    exitCodesTitle: "Exit codes:",
    exitCodes: {
      "0": "all is well, or the reader of the output has left",
      "1": "no connection, or it ended too early, or a limit of --load not kept",
      "2": "flags that cannot be understood",
      "3": "no answer in time, or fewer messages than --count",
      "4": "with --fail-on-close: the server closed with another code than 1000",
      "130": "Ctrl-C, the signal SIGINT",
      "143": "the signal SIGTERM",
    },
    usage:
      "client.ts: WebSocket client. Usage: deno task client [URL] [flags]\nEach flag also comes from the environment (WSS_TIMEOUT); the command line wins.",
    flags: {
      message: "message to send, repeatable; a leading @@ is one @",
      hex: "binary message in hexadecimal, repeatable; after the others",
      binary: "send messages as binary, or the input as it comes",
      skip: "messages at first, such as greetings, that are no answers",
      "connect-only": "connect and close, send nothing",
      stdin: "send each line of standard input, show what comes",
      null: "texts end with NUL instead of a line end, both ways",
      wait: "silence that ends it, after the end of the input",
      follow: "send --message, show all that comes until Ctrl-C",
      load: "measure a server under load; more in --help=all",
      connections: "connections of --load",
      rate: "messages a second in all; default: when there is an answer",
      ramp: "time over which the connections are opened",
      size: "text messages of this size; random bytes with --binary",
      expect: "the right answer to each message; none: there is no answer",
      "max-p99": "exit code 1 if the p99 of the latency is more",
      "max-errors": "exit code 1 if there are more errors",
      count: "end after N messages received",
      duration: "end after this time; 0: no limit, with --load 10 s",
      interactive: "a prompt: send what is typed, show what comes",
      pretty: "JSON received on several lines",
      "history-file": "history of the prompt; off: none",
      raw: "the payloads alone on standard output",
      "output-format": "binary messages with --raw",
      output: "file for the payloads",
      json: "one JSON object a line for each event",
      quiet: "nothing but what is received",
      timestamps: "date and time on each line",
      stats: "at the end, messages, bytes, compression and times",
      ping: "ping each so often, and show the round trip; 0: never",
      "idle-timeout": "silence borne of the server, even to a ping; 0: no limit",
      "show-headers": "show the handshake both ways, secrets as ***",
      frames: "show each frame both ways",
      protocol: "subprotocol to offer, repeatable",
      header: 'handshake header "Name: value", repeatable',
      user: "user and password (Basic); better set as WSS_USER",
      "bearer-file": "file with the token of Authorization: Bearer",
      cookie: "cookie of the handshake, repeatable",
      host: "header Host, in place of the URL's",
      cacert: "certificate authority to trust, PEM",
      insecure: "accept any certificate",
      cert: "certificate of this client, PEM; with --key",
      key: "its private key, PEM",
      sni: "name in TLS and of the certificate, in place of the URL's",
      resolve: "IP address of a host and port, repeatable",
      ipv4: "IPv4 addresses alone",
      ipv6: "IPv6 addresses alone",
      proxy: "http, https, socks5 or socks5h; or ALL_PROXY etc.",
      unix: "Unix socket that the server listens on",
      location: "follow redirects; credentials to the same origin alone",
      compression: "on, off (Deno's own), fast, small or level=6;…",
      "max-message-size": "longest message received, and line sent, in bytes",
      reconnect: "attempts in a row to connect again",
      "reconnect-on": "also after this HTTP status, such as 404; repeatable",
      timeout: "longest wait per step, in ms; or 30s",
      "fail-on-close": "exit code 4 if the server closes otherwise than with 1000",
      lang: "language of the messages",
      completion: "print what completes flags in the shell",
      help: "this help; --help=all: all flags",
      version: "the version",
    },
  },
  prompt: {
    connected: "Connected (extensions: {extensions}); /help shows the commands",
    closed: "Connection closed: {code} ({meaning}){reason}",
    closeCodes: {
      1000: "normal closure",
      1001: "one end is going away",
      1002: "protocol error",
      1003: "type of data not accepted",
      1005: "no code",
      1006: "connection lost",
      1007: "invalid data",
      1008: "policy violation",
      1009: "message too big",
      1010: "an extension is missing",
      1011: "internal error",
      1012: "the service restarts",
      1013: "try again later",
      1014: "bad gateway",
      3000: "unauthorized",
      3003: "forbidden",
      3008: "timeout",
      other: "code of the application",
    },
    stays: "No connection: /reconnect connects again, /quit leaves",
    notConnected: "Nothing was sent: there is no open connection; /reconnect connects again",
    notOfDeno: "Deno's own WebSocket cannot do that; leave --compression=off out",
    notAgreed: "The server did not agree to compression: no message is compressed",
    compressing: "Messages are compressed from now on",
    notCompressing: "Messages are not compressed from now on",
    leaveHint: "Ctrl-C again leaves; Ctrl-D closes with 1000",
    stopHint: "Ctrl-C again ends the server, as Ctrl-D does",
    unknown: 'Unknown command "{command}"; /help shows all, and // sends a text with /',
    unknownNear:
      'Unknown command "{command}", perhaps "{near}"; /help shows all, and // sends a text with /',
    badArguments: "Cannot run the command: its arguments must be as in {form}",
    helpEnd: "  //TEXT: sends /TEXT; the keys up and down bring back earlier lines",
    client: {
      ping: "/ping [DATA]: send a Ping and measure the time to its Pong",
      pong: "/pong [DATA]: send a Pong that nobody asked for",
      close: "/close [CODE [REASON]]: close; 1000, or 3000 to 4999",
      binary: "/binary HEX|@FILE: send a binary message",
      text: "/text TEXT|@FILE: send a text message",
      stats: "/stats: messages, bytes and compression of this connection",
      compress: "/compress on|off: whether messages are compressed from now on",
      reconnect: "/reconnect: connect again",
      help: "/help: this help",
      quit: "/quit: close with 1000 and leave, as Ctrl-D does",
    },
    waiting: "Waiting for clients at {url}; /help shows the commands",
    joined: "#{number} has connected (extensions: {extensions})",
    left: "#{number} has closed: {code} ({meaning}){reason}",
    nobody: "Nobody is connected",
    noNumber: "#{number} is not connected; /list shows who is, /to chooses another",
    toAll: "Messages go to all",
    toOne: "Messages go to #{number} alone; /to all: to all again",
    more: "and {count} more",
    server: {
      to: "/to N|all: who messages go to",
      list: "/list: who is connected",
      binary: "/binary HEX: send a binary message",
      ping: "/ping N: send a Ping and measure the time to its Pong",
      close: "/close N [CODE [REASON]]: close the connection of N",
      help: "/help: this help",
      quit: "/quit: end the server, as Ctrl-D does",
    },
  },
  certs: {
    made: 'Development certificate made in "{folder}"; import "{folder}/ca.crt" to trust it',
    usage: "Makes development certificates. Usage: deno task certs [flags]",
    flags: {
      host: "name besides localhost, 127.0.0.1 and ::1, repeatable",
      days: "validity in days",
      force: "replace even one that this tool did not make",
      lang: "language of the messages",
      help: "this help",
    },
  },
  demo: {
    server: "Output of the server",
    client: "Output of the client",
  },
  tooOldDeno: 'Cannot run: Deno is "{version}", must be {oldest} or newer',
  usage: {
    unknownFlag: 'Unknown flag "{flag}"; see --help',
    unknownFlagNear: 'Unknown flag "{flag}", perhaps "{near}"; see --help',
    separator:
      'Leave out the "--" before "{flag}": flags come right after the name of the task or program',
    missingValue: 'Missing value of "{flag}"; write {flag}=VALUE',
    badValue: 'Bad value of {source}: "{value}", must be {wanted}',
    unexpectedArgument: 'Unexpected argument "{argument}"; see --help',
    incomplete: "{flag} has no effect without {other}",
    excluded: "{flag} and {other} cannot be used together",
    noEffect: "Without effect with {setting}: {flags}; leave that out, or use {wanted}",
  },
  wanted: {
    integer: "a whole number from {min} to {max}",
    size: "a whole number of bytes from {min} to {max}, or with a unit, such as 64K or 16M",
    duration:
      "a whole number from {min} to {max} {unit}, or with a unit, such as 500ms, 30s, 5m or 1h",
    atLeast: "at least {min}, the value of {flag}",
    oneOf: "one of: {choices}",
    nonEmpty: "a text that is not empty",
    compression:
      "on, off, fast, small or parameters such as level=6;threshold=128;server_no_context_takeover;client_max_window_bits=12",
    path: "a path that starts with / and has no space, ? or #",
    origin:
      "an origin such as https://example.com, https://*.example.com, capacitor://localhost, file:// or null",
    metrics: "a port, or address and port, such as 9090, 0.0.0.0:9090 or [::1]:9090",
    backplane: "a URL nats://, tls://, redis:// or rediss://, or several separated by commas",
    trustedProxy: "an IP address, a network such as 10.0.0.0/8 or 2001:db8::/32, or unix",
    url: "a ws:// or wss:// URL without a fragment",
    urlNear: "a ws:// or wss:// URL without a fragment, perhaps {near}",
    header: 'a header "Name: value"',
    protocol: "a subprotocol name (RFC 6455), not repeated",
    host: "a host name or an IP address",
    hex: "an even number of hexadecimal digits",
    user: "USER:PASSWORD",
    cookie: "NAME=VALUE",
    resolve: "HOST:PORT:ADDRESS, with an IP address",
    proxy: "the URL of a proxy: http://, https://, socks5:// or socks5h://",
  },
  refusal: {
    method: "the method is {value}, must be GET",
    upgrade: "the header Upgrade: websocket is missing",
    version: "Sec-WebSocket-Version is {value}, must be 13",
    key: "Sec-WebSocket-Key is missing or malformed, must be 16 bytes in base64",
    extensions: "Sec-WebSocket-Extensions does not follow the grammar of RFC 6455",
    token: "the token is missing or not the right one",
    origin: "the origin {value} is not allowed",
    rooms: "the limit of rooms (--max-rooms) is reached",
  },
  refused: {
    tooManyConnections:
      "there are too many connections: --max-connections or --max-per-address is reached",
    shuttingDown: "the server is stopping",
    untrustedPeer: "it does not come from a proxy of --trust-proxy",
    proxyHeader: "the connection does not begin with the PROXY header ({cause})",
    tlsHandshake: "the TLS handshake failed ({cause})",
    distrusted: "the client does not accept the certificate ({cause})",
    notTls: "the client does not speak TLS, as with ws:// in place of wss://",
    handshakeTimeout: "the TLS handshake took too long",
    headTooLarge: "the head of the request is too large ({cause})",
    headTimeout: "the head of the request took too long ({cause})",
    badRequest: "the request cannot be served ({cause})",
  },
  failure: {
    portInUse:
      "port {port} is already in use; stop the other program or choose another with {flag}",
    hostUnavailable:
      'the address "{host}" is not one of this machine; choose another with --host, or none for all interfaces',
    metricsUnavailable:
      'the address "{host}" is not one of this machine; choose another with --metrics, or the port alone for 127.0.0.1',
    portDenied: "not permitted to listen on port {port}; choose one above 1023 with {flag}",
    netNotAllowed:
      'Deno may not use the network at "{host}"; use deno run --allow-net={host} instead of deno task',
    backplaneNotAllowed:
      'Deno may not connect to "{host}"; use deno task serve:backplane, or --allow-net={host}',
    backplaneNotLoaded: "cannot load the backplane ({cause}); use deno task serve:backplane",
    certificateMissing:
      'the file "{path}" does not exist; name it with {flag}, or make a development one with deno task certs',
    halfPair:
      '"{present}" exists but "{missing}" does not; bring the missing file, or remove the other to have both made',
    certificateUnreadable:
      'the file "{path}" cannot be read by the current user; change its permissions',
    readNotAllowed:
      'Deno may not read "{path}"; use certs/, or deno run --allow-read={path} instead of deno task',
    writeNotAllowed: 'Deno may not write to "{path}"; run with --allow-write={path}',
    cannotWrite: 'cannot write to "{path}" ({cause}); free some space or allow writing',
    notCertificate:
      '"{path}" is not a PEM certificate; one starts with -----BEGIN CERTIFICATE-----',
    notKey:
      '"{path}" is not a PEM private key without a passphrase; one starts with -----BEGIN PRIVATE KEY-----',
    otherThanCertificate:
      '"{path}" has no certificate, only {found}; a PEM certificate starts with -----BEGIN CERTIFICATE-----',
    otherThanKey:
      '"{path}" has no private key, only {found}; a PEM key starts with -----BEGIN PRIVATE KEY-----',
    encryptedKey:
      'the key "{path}" has a passphrase, which a server cannot ask for; take it off with openssl pkey -in {path} -out NEW',
    unsupportedKey:
      'the key "{path}" is {found}, which TLS cannot use here; make a pair with P-256, P-384, P-521, Ed25519, or RSA of 2048 bits or more',
    otherKey:
      'the key "{key}" is not that of the certificate "{cert}"; name the right pair with --cert and --key',
    certificateExpired: 'the certificate "{path}" expired on {date}; {remedy}',
    certificateNotYetValid:
      'the certificate "{path}" is valid only from {date}; set the clock right or {remedy}',
    renewOwn: "make another with deno task certs",
    renewInstalled: 'remove the folder "{folder}", and the server makes another',
    renewTheirs: "renew it with who issued it",
    foreignCertificate:
      '"{path}" was not made by this tool and will not be replaced; remove it first, or use --force',
    refused:
      "nobody answers at {host}; check that the server is running and that the port is right",
    nameNotFound: 'the name "{host}" was not found; check the URL and the DNS',
    untrusted:
      "the server's certificate is not from a known authority; trust it with --cacert=FILE, or accept any with --insecure",
    wrongName: 'the server\'s certificate is not valid for "{host}"; use a name that it holds',
    peerExpired: "the server's certificate has expired; renew it on the server",
    peerEarly:
      "the server's certificate is not valid yet; set the clocks right, or replace it on the server",
    peerIsAuthority:
      "the server's certificate is that of an authority, and may not be a server's; replace it by one with CA:FALSE, or accept any with --insecure",
    peerBadSignature:
      "the signature of the server's certificate is not that of the authority it names; bring the right chain to the server, or the authority of today with --cacert",
    peerPurpose: "the server's certificate is not for servers; ask for one that is (serverAuth)",
    peerCertificate:
      "the server's certificate is not accepted ({cause}); replace it on the server, or accept any with --insecure",
    speaksTls: "the server speaks TLS on that port; use wss:// instead of ws://",
    notTls:
      "the server does not speak TLS on that port; use ws:// instead of wss://, or another port",
    status: "the server answered HTTP {status} instead of 101; {hint}",
    statusHints: {
      301: "follow the redirect with --location",
      302: "follow the redirect with --location",
      303: "follow the redirect with --location",
      307: "follow the redirect with --location",
      308: "follow the redirect with --location",
      401: "it wants credentials, send them with --header",
      403: "it refuses this client or this origin",
      404: "check the path of the URL",
      426:
        "a proxy on the way may have taken out the header Upgrade, or it speaks another version of the protocol",
      429: "it gets too many requests, try again later",
      500: "it failed; its log says why",
      502: "a proxy on the way does not reach the server",
      503: "it is at its limit or stopping, try again later",
      504: "a proxy on the way gets no answer from the server",
      other: "check that the URL is that of a WebSocket server",
    },
    proxyStatus: "the proxy answered HTTP {status} instead of opening a tunnel; {hint}",
    proxyHints: {
      407: "it wants credentials, give them in WSS_PROXY=http://USER:PASSWORD@HOST",
      other: "check --proxy, or the variables ALL_PROXY, HTTPS_PROXY and HTTP_PROXY",
    },
    proxyFailed:
      "{proxy} did not open the connection ({cause}); check --proxy, or the variables ALL_PROXY, HTTPS_PROXY and HTTP_PROXY",
    noSocket: 'there is no Unix socket at "{path}"; check --unix and that the server is running',
    unixWithoutTls:
      "Deno's own WebSocket has no TLS over a Unix socket; use ws://, or leave --compression=off out",
    unixNotAllowed: 'Deno may not use "{path}"; run with --allow-read={path} --allow-write={path}',
    manyRedirects: "the server redirects more than {max} times; check the URL",
    strangeRedirect:
      'the server redirects to "{location}", which is not the URL of a WebSocket; check the URL',
    redirectWithoutTls:
      'the server redirects to "{location}", without TLS; use that URL if you trust the network',
    notWebSocket: "the server did not complete the WebSocket handshake ({cause})",
    timeout: "no answer from {host} in {ms} ms; raise it with --timeout",
    noAnswer: "no answer in {ms} ms; raise it with --timeout",
    noClose: "the server did not confirm the close in {ms} ms; raise it with --timeout",
    closedEarly: "the server closed the connection (code {code}{reason}) before it answered",
    noProtocol: "the server chose none of the subprotocols offered ({protocols})",
    noAddress: 'the name "{host}" has no IPv{family} address; check the URL and the DNS',
    fewMessages: "{received} of {count} {count|message|messages} came in {ms} ms",
    notText: '"{path}" is no text in UTF-8; send it with --binary',
    longMessage:
      'a message of "{path}" is over {max} {max|byte|bytes}; raise it with --max-message-size, or use --binary',
    messageUnreadable:
      'the file "{path}" cannot be read ({cause}); a leading @ of a text is written @@',
    fileUnreadable: 'the file "{path}" cannot be read ({cause})',
    fileNotAllowed: 'Deno may not use the file "{path}"; use deno task client:tool',
    noToken: 'the file "{path}" holds no token (RFC 6750)',
    noTerminal:
      "--interactive needs a terminal, for input and output; for programs there are --stdin and --follow",
    noTerminalToServe:
      "--mode=interactive needs a terminal, for input and output; without a person, use --mode=reply or echo",
    historyUnusable:
      'the history "{path}" cannot be used ({cause}); name another, or --history-file=off',
    closedByServer: "the server closed the connection (code {code}{reason})",
    insecureNeedsFlag:
      "to accept any certificate, Deno's own WebSocket needs a flag of Deno's: run deno task client:insecure",
    tooLong: "the server sent a message longer than --max-message-size; raise that limit",
    violation: "the client ended the connection (code {code}, {cause})",
    lost: "the connection was lost without a close (code {code})",
  },
};

/** The sentences of `language`. */
export function sentencesIn(language: Language): Sentences {
  return language === "en" ? english : portuguese;
}

/**
 * The language that `args` or the environment asks for. It is found before the flags are parsed, so that
 * errors in the flags are told in that language. The parser refuses an unknown language later.
 */
export function languageOf(args: string[], environment: string | undefined): Language {
  const at = args.findLastIndex((argument) =>
    argument === "--lang" || argument.startsWith("--lang=")
  );
  const given = at === -1 ? environment : args[at]!.split("=")[1] ?? args[at + 1];
  return LANGUAGES.find((language) => language === given) ?? LANGUAGES[0];
}

/**
 * Chooses each `{name|one|other}` of a sentence by a number: the first form for 1, the second for any other.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { agree } from "./sentences.ts";
 *
 * assertEquals(agree("{n} {n|byte|bytes}", { n: 1 }), "{n} byte");
 * ```
 */
export function agree(sentence: string, values: Record<string, unknown>): string {
  return sentence.replace(
    /\{(\w+)\|([^|}]*)\|([^|}]*)\}/g,
    (_, name, one, other) => values[name] === 1 ? one : other,
  );
}

/**
 * Fills the `{name}`s of a sentence, and chooses its forms as {@linkcode agree} does.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { fill } from "./sentences.ts";
 *
 * assertEquals(fill("port {port}", { port: 8443 }), "port 8443");
 * ```
 */
export function fill(sentence: string, values: Record<string, string | number>): string {
  return agree(sentence, values).replace(
    /\{(\w+)\}/g,
    (whole, name) => String(values[name] ?? whole),
  );
}
